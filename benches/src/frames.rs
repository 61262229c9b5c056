//! Synthetic frames in memory, laid out like the frames of a ring.

use anyhow::Result;
use noctule_counters::batch::DarkFrame;
use noctule_counters::epoch::Timing;
use noctule_packet::darknet::{Darknet, Destination};
use noctule_packet::link::LinkType;
use noctule_synth::{SynthConfig, Truth, generate};

/// The benches' IPv4 darknet.
pub const PREFIX: &str = "198.18.0.0/15";

/// Consecutive frames, each in a slot that starts at a cache line.
pub struct Frames {
    octets: Vec<u8>,
    places: Vec<(u32, u16)>,
}

/// Alignment of slots, in octets.
const LINE: usize = 64;

impl Frames {
    /// Generates frames, with their true counts. Frames that are not dark are left out, since XDP
    /// does not pass them to a worker.
    pub fn generate(config: &SynthConfig, darknet: &Darknet) -> Result<(Self, Truth)> {
        let mut frames = Self {
            octets: Vec::new(),
            places: Vec::new(),
        };
        let truth = generate(config, |_, frame| {
            let destination = darknet.destination(LinkType::Ethernet, frame);
            if !matches!(destination, Destination::Dark(_)) {
                return Ok(());
            }
            let start = frames.octets.len().next_multiple_of(LINE);
            frames.octets.resize(start, 0);
            frames.octets.extend_from_slice(frame);
            frames
                .places
                .push((u32::try_from(start)?, u16::try_from(frame.len())?));
            Ok::<_, std::num::TryFromIntError>(())
        })?;
        Ok((frames, truth))
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Octets of memory that a pass over all frames reads.
    pub fn bytes(&self) -> usize {
        self.octets.len()
    }

    /// The frames, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (self.places.iter()).map(|&(start, length)| {
            &self.octets[start as usize..start as usize + usize::from(length)]
        })
    }
}

/// Dark frames as a live worker receives them, one each microsecond.
pub fn located<'f>(
    darknet: &Darknet,
    frames: impl Iterator<Item = &'f [u8]>,
) -> impl Iterator<Item = DarkFrame<'f>> {
    frames.enumerate().filter_map(|(time, octets)| {
        Some(DarkFrame {
            network: darknet.locate(LinkType::Ethernet, octets)?,
            octets,
            wire_bytes: octets.len(),
            offset_us: time as u32,
            timing: Timing::OnTime,
            queue: 0,
        })
    })
}
