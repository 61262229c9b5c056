//! The XDP program: it takes the frames whose destination is dark and passes every other one.
//!
//! Dark frames go to the AF_XDP socket of the RX queue they came in on. What is dark is decided
//! exactly as `noctule_packet::darknet::Darknet::destination` does it for Ethernet, and for frames
//! without a link layer; a test runs both over the same frames. The loader writes the policy into maps
//! and globals: the prefixes, and the action for a queue without a socket.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod dark;
mod frame;
mod layers;
mod ledger;
mod tunnel;

use core::mem::offset_of;

use aya_ebpf::{
    Global,
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT},
    helpers::generated::bpf_xdp_get_buff_len,
    macros::{map, xdp},
    maps::XskMap,
    programs::XdpContext,
};
use noctule_abi::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_MPLS_UPSTREAM,
    ETHERTYPE_PPPOE_SESSION, MAX_MPLS_LABELS, MAX_VLAN_TAGS, MPLS_BOTTOM, MPLS_LABEL_BYTES,
    PPP_IPV4, PPP_IPV6, PPPOE_BYTES, PPPOE_SESSION, UNSERVED_PASS, VLAN_TAG_BYTES, Verdicts,
    is_vlan, unparsed::CUT,
};

use frame::{Frame, Inner, Ip, Outer, Plain, be16};
use ledger::Queue;
use tunnel::TUNNELS;

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
    let found = find_destination(&ctx);
    decide(&ctx, found, octets(&ctx), false)
}

/// [`noctule`] for an MTU above what the driver takes in one piece: a frame may continue in further
/// buffers (Linux 5.18). Its headers are in the first one.
#[xdp(frags)]
fn noctule_fragments(ctx: XdpContext) -> u32 {
    let found = find_destination(&ctx);
    // SAFETY: the context is the one that the kernel has passed.
    let bytes = unsafe { bpf_xdp_get_buff_len(ctx.ctx) };
    decide(&ctx, found, bytes, false)
}

/// Decides on one frame in the kernel's stack (generic XDP), where several CPUs may hold frames
/// of one queue.
#[xdp]
fn noctule_generic(ctx: XdpContext) -> u32 {
    let found = find_destination(&ctx);
    decide(&ctx, found, octets(&ctx), true)
}

/// [`noctule_generic`] for a device without a link layer: a frame begins with its IP header.
#[xdp]
fn noctule_ip(ctx: XdpContext) -> u32 {
    let frame = Inner(&ctx);
    let found = find_destination_behind(&ctx, layers::by_nibble(&frame, frame.forget(0)));
    decide(&ctx, found, octets(&ctx), true)
}

/// Passes every frame. Only benches load it, to measure what an XDP program costs at the least.
#[xdp]
fn noctule_empty(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// Where a frame's destination lies, as one number: the compiler would read the unset fields of an
/// enum, which the verifier forbids.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Destination(u32);

impl Destination {
    /// Not in the darknet.
    const NOT_DARK: Self = Self(1 << 30);
    /// Mark of a destination that was not found.
    const UNPARSED: u32 = 1 << 31;

    /// In the darknet; the frame's slot of the ledger.
    #[inline(always)]
    fn dark(slot: u32) -> Self {
        Self(slot)
    }

    /// Not found; the frame's slot of `noctule_abi::unparsed`.
    #[inline(always)]
    fn unparsed(slot: u16) -> Self {
        Self(Self::UNPARSED | u32::from(slot))
    }

    #[inline(always)]
    fn is_unparsed(self) -> bool {
        self.0 & Self::UNPARSED != 0
    }
}

/// Octets of a frame in one piece.
#[inline(always)]
fn octets(ctx: &XdpContext) -> u64 {
    (ctx.data_end() - ctx.data()) as u64
}

#[inline(always)]
fn decide(ctx: &XdpContext, found: Destination, bytes: u64, shared: bool) -> u32 {
    // The counters are looked up last, so that the look-up of the darknet needs fewer registers.
    let number = ctx.rx_queue_index();
    let Some(queue) = Queue::find(number, bytes, shared) else {
        return XDP_PASS;
    };
    if found == Destination::NOT_DARK {
        return queue.count(offset_of!(Verdicts, passed), XDP_PASS);
    }
    if found.is_unparsed() {
        queue.enter_unparsed(found.0 as u16);
        return queue.count(offset_of!(Verdicts, not_parsed), XDP_PASS);
    }
    queue.enter(found.0);
    match XSKS.redirect(number, u64::from(UNSERVED.load())) {
        Ok(_) => queue.count(offset_of!(Verdicts, redirected), XDP_REDIRECT),
        Err(XDP_DROP) => queue.count(offset_of!(Verdicts, unserved_dropped), XDP_DROP),
        Err(_) => queue.count(offset_of!(Verdicts, unserved_passed), XDP_PASS),
    }
}

/// Finds a frame's destination. It is not found if the frame is not IP, is cut before the destination
/// address, carries more tags or labels than are read, or is a tunnel packet that cannot be opened.
#[inline(always)]
fn find_destination(ctx: &XdpContext) -> Destination {
    if TUNNELS.load() == 0
        && let Some(found) = find_destination_plain(ctx)
    {
        return found;
    }
    let frame = Outer(ctx);
    let Some(ethertype) = be16(&frame, ETHERNET_BYTES - 2) else {
        return Destination::unparsed(CUT);
    };
    let ip = network(&frame, ethertype, ETHERNET_BYTES);
    if TUNNELS.load() == 0
        && let Some(ip) = ip
    {
        return find_destination_at(ctx, &frame, ip);
    }
    let found = match ip {
        Some(ip) => layers::Found::ip(ip),
        None => layers::network(ctx, ethertype, ETHERNET_BYTES),
    };
    find_destination_behind(ctx, found)
}

/// [`find_destination`] by the outermost IP header, or by what the frame is instead.
#[inline(always)]
fn find_destination_behind(ctx: &XdpContext, found: layers::Found) -> Destination {
    if let Some(slot) = found.slot() {
        return Destination::unparsed(slot);
    }
    let frame = Inner(ctx);
    let mut ip = found.at(&frame);
    if TUNNELS.load() != 0 {
        let opened = tunnel::open(&frame, ip);
        if let Some(slot) = opened.slot() {
            return Destination::unparsed(slot);
        }
        if !opened.is_absent() {
            let found = opened.find(ctx, &frame);
            if let Some(slot) = found.slot() {
                return Destination::unparsed(slot);
            }
            ip = found.at(&frame);
        }
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
        Destination::dark(ledger::slot_of_plain(&frame))
    } else {
        Destination::NOT_DARK
    })
}

/// [`find_destination`] by this IP header.
#[inline(always)]
fn find_destination_at(ctx: &XdpContext, frame: &impl Frame, ip: Ip) -> Destination {
    let is_dark = if ip.six {
        let Some(address) = frame.octets(ip.offset + 24) else {
            return Destination::unparsed(CUT);
        };
        dark::is_dark6(address)
    } else {
        let Some(address) = frame.octets(ip.offset + 16) else {
            return Destination::unparsed(CUT);
        };
        dark::is_dark4(u32::from_be_bytes(address))
    };
    if is_dark {
        Destination::dark(ledger::slot_of(ctx, frame, ip))
    } else {
        Destination::NOT_DARK
    }
}

/// Finds the IP header behind VLAN tags and a PPPoE header or MPLS labels, which are most frames.
/// `ethertype` is the type of what begins at `offset`. `None` is for [`layers::network`] to explain,
/// which reads further kinds of headers, too.
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
            if layers::reads_eompls() {
                return None;
            }
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
