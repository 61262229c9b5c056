//! Sizes and colours of plots.

/// Most series that a plot distinguishes: as many as it has colours.
pub(crate) const SERIES: usize = 10;

/// Colours of the series on white, in the order of the columns; each has a contrast of 3:1 or more.
/// The page's style repeats them.
pub(crate) const COLOURS: [u32; SERIES] = [
    0x0072B2, 0xD55E00, 0x007F5C, 0xAA3377, 0x8C6D00, 0x332288, 0x555555, 0x117A8B, 0x882255,
    0x4F7A00,
];
/// Texts, and the axes.
pub(crate) const INK: u32 = 0x1B1B1A;
/// Lines of the grid.
pub(crate) const GRID: u32 = 0xD6D6D5;
/// Behind what is incomplete.
pub(crate) const SHADE: u32 = 0xEBE3C9;
/// Marks at the axis below what is incomplete.
pub(crate) const SHADE_MARK: u32 = 0x8A6A1C;

/// Width, height and size of texts, in CSS pixels at full size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) text: u32,
}

pub(crate) const WIDE: Size = Size {
    name: "wide",
    width: 920,
    height: 320,
    text: 14,
};
pub(crate) const NARROW: Size = Size {
    name: "narrow",
    width: 360,
    height: 260,
    text: 12,
};
