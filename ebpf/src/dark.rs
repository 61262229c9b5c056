//! Which addresses are dark: tiles and tries, two generations of them.
//!
//! User space fills the idle generation and then changes [`GENERATION`], which the program reads
//! once per frame; `noctule_capture::xdp::prefixes` says when a generation may be filled again.

use core::cell::UnsafeCell;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, LpmTrie, lpm_trie::Key},
};
use noctule_abi::{
    FILTER_WORDS, GENERATIONS, PREFIX_INCLUDE, TILE_ASK, TILE_DARK, TILES as TILE_COUNT, Tile,
};

/// The generation in force, 0 or 1. It is all of section `.bss`, a map of one element that the
/// program reaches without a look-up.
#[unsafe(no_mangle)]
static GENERATION: Written = Written(UnsafeCell::new(0));

/// A number that user space writes while programs run.
struct Written(UnsafeCell<u64>);

// SAFETY: programs only read it, as a whole.
unsafe impl Sync for Written {}

/// IPv4: the state of each /24, by generation and /16.
#[map]
static TILES: Array<Tile> = Array::with_max_entries(GENERATIONS * TILE_COUNT, BPF_F_MMAPABLE);

/// IPv6: for which values of the first 16 bits the trie is looked up, by generation.
#[map]
static FILTER6: Array<u64> = Array::with_max_entries(GENERATIONS * FILTER_WORDS, BPF_F_MMAPABLE);

// Tries of prefixes (network order) with `PREFIX_INCLUDE` or `PREFIX_EXCLUDE`. A trie allocates a
// node when it is inserted, so that the loader's limit costs no memory.

/// IPv4 prefixes of /24s in state `TILE_ASK`, generation 0.
#[map]
static PREFIXES4_0: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 0);

/// IPv4 prefixes of /24s in state `TILE_ASK`, generation 1.
#[map]
static PREFIXES4_1: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, 0);

/// IPv6 prefixes, generation 0.
#[map]
static PREFIXES6_0: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, 0);

/// IPv6 prefixes, generation 1.
#[map]
static PREFIXES6_1: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, 0);

#[inline(always)]
fn generation() -> u32 {
    // SAFETY: the map lives as long as the program; one aligned load is whole.
    (unsafe { GENERATION.0.get().read_volatile() } & 1) as u32
}

/// Is this address (host order) dark?
#[inline(always)]
pub fn is_dark4(address: u32) -> bool {
    let generation = generation();
    let Some(tile) = TILES.get(generation * TILE_COUNT | address >> 16) else {
        return false;
    };
    let word = tile[(address >> 13 & 7) as usize];
    match word >> (address >> 7 & 0x3e) & 3 {
        TILE_DARK => true,
        TILE_ASK => {
            let key = Key::new(32, address.to_be_bytes());
            let trie = if generation == 0 {
                &PREFIXES4_0
            } else {
                &PREFIXES4_1
            };
            trie.get(key) == Some(&PREFIX_INCLUDE)
        }
        _ => false,
    }
}

/// Is this address (network order) dark?
#[inline(always)]
pub fn is_dark6(address: [u8; 16]) -> bool {
    let generation = generation();
    let first = u32::from(u16::from_be_bytes([address[0], address[1]]));
    let Some(word) = FILTER6.get(generation * FILTER_WORDS | first >> 6) else {
        return false;
    };
    if word >> (first & 63) & 1 == 0 {
        return false;
    }
    let key = Key::new(128, address);
    let trie = if generation == 0 {
        &PREFIXES6_0
    } else {
        &PREFIXES6_1
    };
    trie.get(key) == Some(&PREFIX_INCLUDE)
}
