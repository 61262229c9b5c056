//! A load generator for tests and benches: it turns every frame that it is run on into a TCP SYN of
//! a source that no frame before it had, and sends it out over one interface.
//!
//! User space runs it by `BPF_PROG_TEST_RUN` with live frames (Linux 5.18). The frame that it
//! gives has its constant octets set (Ethernet, IPv4 with an IHL of 5, TCP) and zero where this
//! program writes, so that only what changes is written here.

#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP},
    helpers::bpf_redirect,
    macros::{map, xdp},
    maps::Array,
    programs::XdpContext,
};

/// Octets before the IP header.
const IP: usize = 14;
/// Octets before the TCP header.
const TCP: usize = IP + 20;
/// Least length of a frame: up to the end of the TCP checksum.
const WRITTEN: usize = TCP + 18;
/// Ports that half of the frames go to; the other half goes to any port.
const PORTS: [u16; 16] = [
    23, 22, 80, 443, 3389, 445, 8080, 2323, 5555, 6379, 1433, 8728, 5900, 81, 2222, 8443,
];

/// How many frames were made: each takes the next number. One CPU runs it at a time.
#[map]
static MADE: Array<u64> = Array::with_max_entries(1, 0);

/// Index of the interface that frames leave by.
#[unsafe(no_mangle)]
static INTERFACE: Global<u32> = Global::new(0);

/// First destination address, in host order.
#[unsafe(no_mangle)]
static FIRST: Global<u32> = Global::new(0);

/// How many destination addresses there are, less one; a power of two less one.
#[unsafe(no_mangle)]
static OTHERS: Global<u32> = Global::new(0);

/// Sums of the 16-bit words that do not change: of the IP header in the upper half, of the TCP
/// segment with its pseudo-header in the lower half.
#[unsafe(no_mangle)]
static SUMS: Global<u64> = Global::new(0);

/// Makes one frame and sends it.
#[xdp]
fn generate(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + WRITTEN > end {
        return XDP_ABORTED;
    }
    let Some(made) = MADE.get_ptr_mut(0) else {
        return XDP_ABORTED;
    };
    // SAFETY: the element lives as long as the map, and one CPU runs this at a time.
    let made = unsafe { &mut *made };
    let number = *made as u32;
    *made += 1;

    let source = mix(number);
    let [drawn, more] = [mix(number ^ 0x5bd1_e995), mix(number ^ 0x1b87_3593)];
    let destination = FIRST.load() | (drawn & OTHERS.load());
    let port = if more & 1 == 0 {
        PORTS[(more >> 1) as usize % PORTS.len()]
    } else {
        (more >> 16) as u16
    };
    let source_port = (drawn >> 16) as u16 | 0x8000;
    let (id, sequence) = ((more >> 8) as u16, more ^ source);

    let sums = SUMS.load();
    let addresses = words(source) + words(destination);
    let ip_sum = fold((sums >> 32) as u32 + u32::from(id) + addresses);
    let ports = u32::from(source_port) + u32::from(port);
    let tcp_sum = fold(sums as u32 + addresses + ports + words(sequence));
    // SAFETY: the frame reaches to the end of the TCP checksum, as was checked above, and all of
    // these octets lie before it.
    unsafe {
        write(start + IP + 4, id.to_be_bytes());
        write(start + IP + 10, ip_sum.to_be_bytes());
        write(start + IP + 12, source.to_be_bytes());
        write(start + IP + 16, destination.to_be_bytes());
        write(start + TCP, source_port.to_be_bytes());
        write(start + TCP + 2, port.to_be_bytes());
        write(start + TCP + 4, sequence.to_be_bytes());
        write(start + TCP + 16, tcp_sum.to_be_bytes());
        // By the interface's index the helper touches no memory of this program.
        bpf_redirect(INTERFACE.load(), 0) as u32
    }
}

/// Drops every frame: attached at the far end when the generator alone is measured.
#[xdp]
fn sink(_: XdpContext) -> u32 {
    XDP_DROP
}

/// A bijection of 32 bits: different numbers get different sources (the finaliser of MurmurHash3).
#[inline(always)]
fn mix(mut bits: u32) -> u32 {
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}

/// The two 16-bit words of a value, added.
#[inline(always)]
fn words(value: u32) -> u32 {
    (value >> 16) + (value & 0xffff)
}

/// The Internet checksum of a sum of words (RFC 1071).
#[inline(always)]
fn fold(sum: u32) -> u16 {
    !(words(words(sum)) as u16)
}

/// # Safety
/// `at` must be the address of `N` octets of the frame.
#[inline(always)]
unsafe fn write<const N: usize>(at: usize, octets: [u8; N]) {
    // SAFETY: the caller ensures the room; an array of octets needs no alignment.
    unsafe { (at as *mut [u8; N]).write_unaligned(octets) }
}

/// Licence string the kernel wants; the helpers in use are open to every licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
