//! The XDP program: it takes the frames whose destination is dark and passes every other one.
//!
//! Dark frames go to the AF_XDP socket of the RX queue they came in on. What is dark is decided
//! exactly as `noctule_packet::darknet::Darknet::destination` does it for Ethernet; a test runs
//! both over the same frames. The loader writes the policy into maps and globals: the prefixes, and
//! the action for a queue without a socket.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod dark;
mod frame;
mod ledger;
mod tunnel;

use core::mem::offset_of;

use aya_ebpf::{
    Global,
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT},
    macros::{map, xdp},
    maps::XskMap,
    programs::XdpContext,
};
use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_MPLS_UPSTREAM,
    ETHERTYPE_PPPOE_SESSION, MAX_MPLS_LABELS, MAX_VLAN_TAGS, MPLS_BOTTOM, MPLS_LABEL_BYTES,
    PPP_IPV4, PPP_IPV6, PPPOE_BYTES, PPPOE_SESSION, UNSERVED_PASS, VLAN_TAG_BYTES, Verdicts,
    is_vlan,
};

use frame::{Frame, Inner, Ip, Outer, Plain, be16};
use ledger::Queue;
use tunnel::{TUNNELS, Tunnel};

// The loader sets the sizes of maps that depend on the machine or the configuration; a size of 1
// is a placeholder.

/// AF_XDP socket of each RX queue.
#[map]
static XSKS: XskMap = XskMap::with_max_entries(1, 0);

/// Action for a dark frame whose queue has no socket: `UNSERVED_PASS` or `UNSERVED_DROP`.
#[unsafe(no_mangle)]
static UNSERVED: Global<u32> = Global::new(UNSERVED_PASS);

/// Decides on one frame in the driver, where a queue's frames come one after another.
#[xdp]
fn noctule(ctx: XdpContext) -> u32 {
    decide(&ctx, false)
}

/// Decides on one frame in the kernel's stack (generic XDP), where several CPUs may hold frames
/// of one queue.
#[xdp]
fn noctule_generic(ctx: XdpContext) -> u32 {
    decide(&ctx, true)
}

/// Passes every frame. Only benches load it, to measure what an XDP program costs at the least.
#[xdp]
fn noctule_empty(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// Where a frame's destination lies.
enum Destination {
    /// Not in the darknet.
    NotDark,
    /// In the darknet; the frame's slot of the ledger.
    Dark(u32),
}

#[inline(always)]
fn decide(ctx: &XdpContext, shared: bool) -> u32 {
    // The counters are looked up last, so that the look-up of the darknet needs fewer registers.
    let found = find_destination(ctx);
    let number = ctx.rx_queue_index();
    let bytes = (ctx.data_end() - ctx.data()) as u64;
    let Some(queue) = Queue::find(number, bytes, shared) else {
        return XDP_PASS;
    };
    match found {
        None => queue.count(offset_of!(Verdicts, not_parsed), XDP_PASS),
        Some(Destination::NotDark) => queue.count(offset_of!(Verdicts, passed), XDP_PASS),
        Some(Destination::Dark(slot)) => {
            queue.enter(slot);
            match XSKS.redirect(number, u64::from(UNSERVED.load())) {
                Ok(_) => queue.count(offset_of!(Verdicts, redirected), XDP_REDIRECT),
                Err(XDP_DROP) => queue.count(offset_of!(Verdicts, unserved_dropped), XDP_DROP),
                Err(_) => queue.count(offset_of!(Verdicts, unserved_passed), XDP_PASS),
            }
        }
    }
}

/// Finds a frame's destination. `None` if the frame is not IP, is cut before the destination
/// address, carries more tags or labels than are read, or is a tunnel packet that cannot be opened.
#[inline(always)]
fn find_destination(ctx: &XdpContext) -> Option<Destination> {
    if TUNNELS.load() == 0
        && let Some(found) = find_destination_plain(ctx)
    {
        return Some(found);
    }
    let frame = Outer(ctx);
    let ip = network(&frame, be16(&frame, ETHERNET_BYTES - 2)?, ETHERNET_BYTES)?;
    if TUNNELS.load() != 0 {
        let frame = Inner(ctx);
        let outer = Ip {
            offset: frame.forget(ip.offset),
            ..ip
        };
        let ip = match tunnel::open(&frame, outer)? {
            Tunnel::Inside(ethertype, offset) => network(&frame, ethertype, frame.forget(offset))?,
            Tunnel::Absent => outer,
        };
        return find_destination_at(ctx, &frame, ip);
    }
    find_destination_at(ctx, &frame, ip)
}

/// [`find_destination`] for nearly every frame: IPv4 without options directly behind Ethernet. `None` if
/// it is another kind of frame.
#[inline(always)]
fn find_destination_plain(ctx: &XdpContext) -> Option<Destination> {
    let frame = Plain::of(ctx)?;
    if frame.be16::<12>() != ETHERTYPE_IPV4 || frame.octet::<14>() != 0x45 {
        return None;
    }
    Some(if dark::is_dark4(frame.be32::<30>()) {
        Destination::Dark(ledger::slot_of_plain(&frame))
    } else {
        Destination::NotDark
    })
}

/// [`find_destination`] by this IP header.
#[inline(always)]
fn find_destination_at(ctx: &XdpContext, frame: &impl Frame, ip: Ip) -> Option<Destination> {
    let is_dark = if ip.six {
        dark::is_dark6(frame.octets(ip.offset + 24)?)
    } else {
        dark::is_dark4(u32::from_be_bytes(frame.octets(ip.offset + 16)?))
    };
    Some(if is_dark {
        Destination::Dark(ledger::slot_of(ctx, frame, ip))
    } else {
        Destination::NotDark
    })
}

/// Finds the IP header behind VLAN tags and a PPPoE header or MPLS labels. `ethertype` is the type
/// of what begins at `offset`.
#[inline(always)]
fn network(frame: &impl Frame, mut ethertype: u16, mut offset: usize) -> Option<Ip> {
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ethertype) {
            break;
        }
        ethertype = be16(frame, offset + 2)?;
        offset += VLAN_TAG_BYTES;
    }
    let mut labelled = false;
    match ethertype {
        ETHERTYPE_PPPOE_SESSION => {
            if frame.octets(offset)? != PPPOE_SESSION {
                return None;
            }
            ethertype = match be16(frame, offset + PPPOE_BYTES - 2)? {
                PPP_IPV4 => ETHERTYPE_IPV4,
                PPP_IPV6 => ETHERTYPE_IPV6,
                _ => return None,
            };
            offset += PPPOE_BYTES;
        }
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM => {
            for _ in 0..MAX_MPLS_LABELS {
                let [_, _, third, _] = frame.octets(offset)?;
                offset += MPLS_LABEL_BYTES;
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
    let [first] = frame.octets(offset)?;
    if labelled {
        // Labels do not say what they carry.
        ethertype = if first >> 4 == 6 {
            ETHERTYPE_IPV6
        } else {
            ETHERTYPE_IPV4
        };
    }
    let six = match (ethertype, first >> 4) {
        (ETHERTYPE_IPV4, 4) => false,
        (ETHERTYPE_IPV6, 6) => true,
        _ => return None,
    };
    Some(Ip { offset, six })
}

/// Licence string the kernel wants; the helpers in use are open to every licence.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
