//! The darknet as the XDP program reads it: tiles, filter and tries, two generations of them.
//!
//! A reload fills the idle generation, which no frame reads, and one store puts it in force. A run
//! of the program that began before the store may still read the other generation, which is filled
//! again only after every such run has ended ([`wait_for_readers`]).
#![expect(unsafe_code, reason = "membarrier has no safe wrapper")]

use std::{ops::RangeInclusive, sync::atomic::Ordering, thread::sleep, time::Duration};

use aya::{
    Ebpf,
    maps::{Array, MapError, lpm_trie::Key, lpm_trie::LpmTrie},
};
use ipnet::IpNet;
use noctule_abi::{
    FILTER_WORDS, GENERATIONS, PREFIX_EXCLUDE, PREFIX_INCLUDE, TILE_ASK, TILE_DARK, TILES, Tile,
};
use noctule_packet::darknet::{Darknet, Rule};

use super::{
    Interface, XdpError,
    error::{no_map, one_line},
    mapped::Mapped,
};

/// Most prefixes of one family and generation. The limit costs no memory, since a trie allocates a
/// node when it is inserted.
pub(super) const MOST_PREFIXES: u32 = 1 << 20;

const TRIES4: [&str; 2] = ["PREFIXES4_0", "PREFIXES4_1"];
const TRIES6: [&str; 2] = ["PREFIXES6_0", "PREFIXES6_1"];

/// Words of a generation's tiles.
const TILE_WORDS: usize = TILES as usize * size_of::<Tile>() / size_of::<u64>();
/// /24s in one word of a tile.
const IN_WORD: u32 = 32;

/// Time after which every run of the program has ended, for kernels that refuse `membarrier`: a run
/// of the network's soft interrupts takes some milliseconds.
const READERS_DONE: Duration = Duration::from_secs(2);

/// The maps that say what is dark.
#[derive(Debug)]
pub(super) struct PrefixMaps {
    tiles: Mapped,
    filter6: Mapped,
    /// The generation in force.
    generation: u32,
}

impl PrefixMaps {
    /// The maps of a loaded program: generation 0 is in force and empty.
    pub fn new(ebpf: &Ebpf, interface: &Interface) -> Result<Self, XdpError> {
        Ok(Self {
            tiles: Mapped::new(ebpf, interface, "TILES")?,
            filter6: Mapped::new(ebpf, interface, "FILTER6")?,
            generation: 0,
        })
    }

    /// Fills the idle generation.
    pub fn prepare(
        &self,
        ebpf: &mut Ebpf,
        interface: &Interface,
        darknet: &Darknet,
    ) -> Result<(), XdpError> {
        wait_for_readers();
        let idle = self.generation ^ 1;
        let (tiles, asked) = tiles(darknet);
        store(&self.tiles, idle, &tiles);
        store(&self.filter6, idle, &filter6(darknet));
        let (name4, name6) = (TRIES4[idle as usize], TRIES6[idle as usize]);
        clear::<[u8; 4]>(ebpf, interface, name4)?;
        clear::<[u8; 16]>(ebpf, interface, name6)?;
        for rule in darknet.rules() {
            match rule.prefix {
                IpNet::V4(prefix) => {
                    let slash24s =
                        (prefix.network().to_bits() >> 8)..=(prefix.broadcast().to_bits() >> 8);
                    if is_asked_for(&asked, &slash24s) {
                        insert(ebpf, interface, name4, rule, prefix.network().octets())?;
                    }
                }
                IpNet::V6(prefix) => {
                    insert(ebpf, interface, name6, rule, prefix.network().octets())?;
                }
            }
        }
        Ok(())
    }

    /// Puts the other generation in force, from the next frame on.
    pub fn flip(&mut self, ebpf: &mut Ebpf, interface: &Interface) -> Result<(), XdpError> {
        // The section that holds the number of the generation in force, and nothing else.
        let name = ".bss";
        let map = ebpf
            .map_mut(name)
            .ok_or_else(|| no_map(interface.name(), name))?;
        Array::<_, u64>::try_from(map)
            .and_then(|mut map| map.set(0, u64::from(self.generation ^ 1), 0))
            .map_err(|error| failed("change".into(), name, &error))?;
        self.generation ^= 1;
        Ok(())
    }
}

/// Waits until every run of the program that began before has ended.
///
/// XDP programs run in an RCU read-side section, and `MEMBARRIER_CMD_GLOBAL` (Linux 4.3) waits for
/// all of them (on a machine with one CPU no program runs while this process does). Kernels with
/// `nohz_full` CPUs refuse it, and so may a seccomp filter; then it sleeps instead.
fn wait_for_readers() {
    // SAFETY: membarrier takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        sleep(READERS_DONE);
    }
}

/// The tiles of a darknet, and the numbers of the /24s in state `TILE_ASK`, ascending.
fn tiles(darknet: &Darknet) -> (Vec<u64>, Vec<u32>) {
    let mut words = vec![0u64; TILE_WORDS];
    let mut asked: Vec<u32> = Vec::new();
    let mut set = |slash24: u32, state: u64| {
        let shift = slash24 % IN_WORD * 2;
        words[(slash24 / IN_WORD) as usize] |= state << shift;
    };
    for &(first, last) in darknet.ranges4() {
        for slash24 in first >> 8..=last >> 8 {
            let (start, end) = (slash24 << 8, slash24 << 8 | 0xff);
            if first <= start && end <= last {
                set(slash24, TILE_DARK);
            } else {
                set(slash24, TILE_ASK);
                if asked.last() != Some(&slash24) {
                    asked.push(slash24);
                }
            }
        }
    }
    (words, asked)
}

/// One bit for each value of the first 16 bits under which an address is dark.
fn filter6(darknet: &Darknet) -> Vec<u64> {
    let mut words = vec![0u64; FILTER_WORDS as usize];
    for &(first, last) in darknet.ranges6() {
        for value in (first >> 112) as usize..=(last >> 112) as usize {
            words[value / 64] |= 1 << (value % 64);
        }
    }
    words
}

fn is_asked_for(asked: &[u32], slash24s: &RangeInclusive<u32>) -> bool {
    let after = asked.partition_point(|slash24| slash24 < slash24s.start());
    asked.get(after).is_some_and(|next| next <= slash24s.end())
}

/// Writes the words of one generation, which is one half of the array.
fn store(array: &Mapped, generation: u32, words: &[u64]) {
    let first = generation as usize * array.words().len() / GENERATIONS as usize;
    for (place, &word) in array.words()[first..].iter().zip(words) {
        place.store(word, Ordering::Release);
    }
}

fn clear<A: aya::Pod>(
    ebpf: &mut Ebpf,
    interface: &Interface,
    name: &'static str,
) -> Result<(), XdpError> {
    let map = ebpf
        .map_mut(name)
        .ok_or_else(|| no_map(interface.name(), name))?;
    let cleared = LpmTrie::<_, A, u32>::try_from(map).and_then(|mut trie| {
        let keys: Vec<_> = trie.keys().collect::<Result<_, _>>()?;
        keys.iter().try_for_each(|key| trie.remove(key))
    });
    cleared.map_err(|error| failed("empty".into(), name, &error))
}

fn insert<A: aya::Pod>(
    ebpf: &mut Ebpf,
    interface: &Interface,
    name: &'static str,
    rule: &Rule,
    address: A,
) -> Result<(), XdpError> {
    let map = ebpf
        .map_mut(name)
        .ok_or_else(|| no_map(interface.name(), name))?;
    let key = Key::new(u32::from(rule.prefix.prefix_len()), address);
    let value = if rule.dark {
        PREFIX_INCLUDE
    } else {
        PREFIX_EXCLUDE
    };
    LpmTrie::<_, A, u32>::try_from(map)
        .and_then(|mut trie| trie.insert(&key, value, 0))
        .map_err(|error| failed(format!("add {} to", rule.prefix), name, &error))
}

fn failed(action: String, map: &'static str, error: &MapError) -> XdpError {
    XdpError::Map {
        action,
        map,
        reason: one_line(error),
    }
}
