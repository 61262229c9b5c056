//! Opens sockets, of which each kind has a file of its own.
#![expect(unsafe_code, reason = "std opens no sockets of these families")]

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

/// Opens a socket.
pub(super) fn socket(family: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes no pointers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `socket` has just returned this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
