//! Waits for frames on several queues at once.
#![expect(unsafe_code, reason = "poll has no safe wrapper in std")]

use std::{io, os::fd::AsRawFd as _};

use super::{XdpError, XskQueue};

/// Waits for several queues; it keeps the memory that this takes.
#[derive(Debug, Default)]
pub struct Waiter {
    polls: Vec<libc::pollfd>,
}

impl Waiter {
    /// Waits until one of the queues has frames, at most `timeout_ms` milliseconds. Returns whether
    /// one has. Removed interfaces are noticed by [`XskQueue::wait`] only.
    ///
    /// # Errors
    /// [`XdpError::Socket`] if the sockets cannot be polled.
    pub fn wait<'q>(
        &mut self,
        queues: impl Iterator<Item = &'q XskQueue>,
        timeout_ms: u16,
    ) -> Result<bool, XdpError> {
        self.polls.clear();
        let mut first = None;
        for queue in queues {
            first.get_or_insert(queue);
            self.polls.push(libc::pollfd {
                fd: queue.fd().as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            });
        }
        let count = self.polls.len() as libc::nfds_t;
        // SAFETY: as many structures, which live through the call.
        let events = unsafe { libc::poll(self.polls.as_mut_ptr(), count, timeout_ms.into()) };
        if events < 0 {
            let error = io::Error::last_os_error();
            return match (error.kind(), first) {
                (io::ErrorKind::Interrupted, _) | (_, None) => Ok(false),
                (_, Some(queue)) => Err(queue.socket_error("poll", error)),
            };
        }
        Ok((self.polls.iter()).any(|poll| poll.revents & libc::POLLIN != 0))
    }
}
