//! One record of a capture: a frame with its time and its lengths.

use noctule_packet::link::LinkType;

use super::window::Span;

/// Most captured octets of one record, 16 MiB; a record that claims more is taken for damage.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// What a capture's times count, whatever its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeResolution {
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// One captured frame. `bytes` borrows the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureRecord<'a> {
    /// The header that the frame begins with; `None` if this program does not read the link type.
    pub link: Option<LinkType>,
    /// The capture's number of the link type.
    pub link_number: u32,
    /// When the frame was captured, microseconds since 1970 UTC; times that do not fit are clamped.
    pub time_us: i64,
    /// The octets that were captured.
    pub bytes: &'a [u8],
    /// Octets of the frame on the wire; never fewer than were captured.
    pub wire_bytes: u32,
}

/// A record as a format's parser finds it: `span` says where its octets are in the window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecordHead {
    pub link: Option<LinkType>,
    pub link_number: u32,
    pub time_us: i64,
    pub wire_bytes: u32,
    pub span: Span,
}
