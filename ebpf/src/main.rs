//! The XDP program: it takes the frames whose destination is dark and passes every other one.
//!
//! Dark frames go to the AF_XDP socket of the RX queue they came in on. What is dark is decided
//! exactly as `noctule_packet::darknet::Darknet::destination` does it for Ethernet; a test runs
//! both over the same frames. Policy (prefixes, what becomes of a queue without a socket) is
//! written into maps and globals by the loader.

#![no_std]
#![no_main]

use aya_ebpf::{
    Global,
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT},
    macros::{map, xdp},
    maps::{LpmTrie, PerCpuArray, XskMap, lpm_trie::Key},
    programs::XdpContext,
};
use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_MPLS_UPSTREAM,
    ETHERTYPE_PPPOE_SESSION, MAX_MPLS_LABELS, MAX_VLAN_TAGS, MPLS_BOTTOM, MPLS_LABEL_BYTES,
    PPP_IPV4, PPP_IPV6, PPPOE_BYTES, PPPOE_SESSION, PREFIX_INCLUDE, Tally, UNSERVED_PASS,
    VLAN_TAG_BYTES, Verdicts, is_vlan,
};

// The loader sets every size below; 1 stands where it will write its own number.

/// AF_XDP socket of each RX queue.
#[map]
static XSKS: XskMap = XskMap::with_max_entries(1, 0);

/// IPv4 prefixes (network order) with [`PREFIX_INCLUDE`] or `PREFIX_EXCLUDE`.
#[map]
static PREFIXES4: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 0);

/// IPv6 prefixes (network order) with [`PREFIX_INCLUDE`] or `PREFIX_EXCLUDE`.
#[map]
static PREFIXES6: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, 0);

/// What was decided, per RX queue; the last element, [`LATER_QUEUES`], is for queues that the
/// NIC grew after the program was loaded.
#[map]
static VERDICTS: PerCpuArray<Verdicts> = PerCpuArray::with_max_entries(1, 0);

/// Action for a dark frame whose queue has no socket: `UNSERVED_PASS` or `UNSERVED_DROP`.
#[unsafe(no_mangle)]
static UNSERVED: Global<u32> = Global::new(UNSERVED_PASS);

/// Index of the last element of [`VERDICTS`]: the number of RX queues when it was loaded.
#[unsafe(no_mangle)]
static LATER_QUEUES: Global<u32> = Global::new(0);

/// Decides on one frame.
#[xdp]
fn noctule(ctx: XdpContext) -> u32 {
    let queue = ctx.rx_queue_index();
    let Some(verdicts) = VERDICTS.get_ptr_mut(queue.min(LATER_QUEUES.load())) else {
        return XDP_PASS;
    };
    // SAFETY: the element is this CPU's own and lives as long as the map; an XDP program is not
    // preempted by another run of itself on the same CPU.
    let verdicts = unsafe { &mut *verdicts };
    let bytes = (ctx.data_end() - ctx.data()) as u64;
    match is_dark(&ctx) {
        None => count(&mut verdicts.not_parsed, bytes, XDP_PASS),
        Some(false) => count(&mut verdicts.passed, bytes, XDP_PASS),
        Some(true) => match XSKS.redirect(queue, u64::from(UNSERVED.load())) {
            Ok(_) => count(&mut verdicts.redirected, bytes, XDP_REDIRECT),
            Err(XDP_DROP) => count(&mut verdicts.unserved_dropped, bytes, XDP_DROP),
            Err(_) => count(&mut verdicts.unserved_passed, bytes, XDP_PASS),
        },
    }
}

#[inline(always)]
fn count(tally: &mut Tally, bytes: u64, action: u32) -> u32 {
    tally.packets += 1;
    tally.bytes += bytes;
    action
}

/// Is the destination dark? `None`: the frame is not IP, is cut before the destination address,
/// or carries more tags or labels than are read.
#[inline(always)]
fn is_dark(ctx: &XdpContext) -> Option<bool> {
    let mut ethertype = u16::from_be_bytes(octets(ctx, ETHERNET_BYTES - 2)?);
    let mut ip = ETHERNET_BYTES;
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ethertype) {
            break;
        }
        ethertype = u16::from_be_bytes(octets(ctx, ip + 2)?);
        ip += VLAN_TAG_BYTES;
    }
    let mut labelled = false;
    match ethertype {
        ETHERTYPE_PPPOE_SESSION => {
            if octets(ctx, ip)? != PPPOE_SESSION {
                return None;
            }
            ethertype = match u16::from_be_bytes(octets(ctx, ip + PPPOE_BYTES - 2)?) {
                PPP_IPV4 => ETHERTYPE_IPV4,
                PPP_IPV6 => ETHERTYPE_IPV6,
                _ => return None,
            };
            ip += PPPOE_BYTES;
        }
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM => {
            for _ in 0..MAX_MPLS_LABELS {
                let [_, _, third, _] = octets(ctx, ip)?;
                ip += MPLS_LABEL_BYTES;
                if third & MPLS_BOTTOM != 0 {
                    labelled = true;
                    break;
                }
            }
            if !labelled {
                return None;
            }
        }
        _ => {}
    }
    let [first] = octets(ctx, ip)?;
    if labelled {
        // Labels do not say what they carry.
        ethertype = if first >> 4 == 6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    }
    let rule = match (ethertype, first >> 4) {
        (ETHERTYPE_IPV4, 4) => PREFIXES4.get(Key::new(32, octets::<4>(ctx, ip + 16)?)),
        (ETHERTYPE_IPV6, 6) => PREFIXES6.get(Key::new(128, octets::<16>(ctx, ip + 24)?)),
        _ => return None,
    };
    Some(rule == Some(&PREFIX_INCLUDE))
}

/// `N` octets of the frame from `offset` on; `None` where the frame is shorter.
#[inline(always)]
fn octets<const N: usize>(ctx: &XdpContext, offset: usize) -> Option<[u8; N]> {
    let at = ctx.data() + offset;
    if at + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the line above holds `at..at + N` inside the frame, and octets need no alignment.
    Some(unsafe { *(at as *const [u8; N]) })
}

/// Licence string the kernel wants; the helpers in use are open to every licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
