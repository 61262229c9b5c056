//! Random draws in whole numbers, so that they fall alike on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A scale for reciprocals: 1/k becomes 2^40/k.
const SCALE: u64 = 1 << 40;

/// Pieces into which an octave of ranks is summed.
const PIECES: u64 = 1024;

/// The stream of random numbers.
pub(super) struct Random {
    stream: ChaCha8Rng,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self {
            stream: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    #[inline]
    pub fn word(&mut self) -> u64 {
        self.stream.next_u64()
    }

    #[inline]
    pub fn word32(&mut self) -> u32 {
        self.stream.next_u32()
    }

    #[inline]
    pub fn word16(&mut self) -> u16 {
        self.word32() as u16
    }

    /// A number below `limit`; 0 where the limit is 0.
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    #[inline]
    pub fn between(&mut self, low: u16, high: u16) -> u16 {
        low + self.below(u64::from(high - low) + 1) as u16
    }

    /// True `share` times in 1,000.
    #[inline]
    pub fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// One of a list that is not empty.
    #[inline]
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// One of a list that is not empty, by weight.
    pub fn weighted<T: Copy>(&mut self, list: &[(T, u32)]) -> T {
        let total = list.iter().map(|&(_, weight)| u64::from(weight)).sum();
        let mut left = self.below(total);
        for &(item, weight) in list {
            if left < u64::from(weight) {
                return item;
            }
            left -= u64::from(weight);
        }
        list[list.len() - 1].0
    }
}

/// Scrambles a number; no two give the same (the finaliser of SplitMix64).
#[inline]
pub(super) const fn scramble(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

/// Ranks 1 to n, each drawn in proportion to 1/rank.
///
/// A rank's octave is drawn by the octave's sum of reciprocals, then the rank within it by
/// rejection. The sums are taken in [`PIECES`] pieces, which is off by less than one in a
/// million. At most 2^32 ranks, so that no product overflows.
pub(super) struct Zipf {
    ranks: u64,
    /// Sums of the octaves so far.
    sums: Vec<u64>,
}

impl Zipf {
    pub fn new(ranks: u64) -> Self {
        let mut sums = Vec::new();
        let mut sum = 0;
        let mut low = 1;
        while low <= ranks {
            let end = (low * 2).min(ranks + 1);
            let step = (low / PIECES).max(1);
            let mut at = low;
            while at < end {
                let count = step.min(end - at);
                // The middle of the piece is at + (count - 1) / 2; both are doubled.
                sum += 2 * count * SCALE / (2 * at + count - 1);
                at += count;
            }
            sums.push(sum);
            low *= 2;
        }
        Self { ranks, sums }
    }

    /// A rank, from 0.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> u64 {
        let Some(&total) = self.sums.last() else {
            return 0;
        };
        let at = random.below(total);
        let octave = self.sums.partition_point(|&sum| sum <= at);
        let low = 1u64 << octave;
        let end = (low * 2).min(self.ranks + 1);
        loop {
            let rank = low + random.below(end - low);
            if random.below(rank) < low {
                return rank - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_follows_one_over_the_rank() {
        let ranks = 1000;
        let zipf = Zipf::new(ranks);
        let mut random = Random::new(5);
        let mut hits = vec![0u32; ranks as usize];
        let draws = 2_000_000;
        for _ in 0..draws {
            hits[zipf.draw(&mut random) as usize] += 1;
        }
        let harmonic: f64 = (1..=ranks).map(|k| 1.0 / k as f64).sum();
        for rank in [1, 2, 3, 7, 8, 64, 500, 1000] {
            let expected = f64::from(draws) / harmonic / f64::from(rank);
            let found = f64::from(hits[rank as usize - 1]);
            // Five standard deviations of a Poisson count.
            assert!(
                (found - expected).abs() < 5.0 * expected.sqrt(),
                "rank {rank}: {found} instead of {expected}"
            );
        }
    }

    #[test]
    fn zipf_of_one_is_always_the_first() {
        let zipf = Zipf::new(1);
        let mut random = Random::new(1);
        assert!((0..100).all(|_| zipf.draw(&mut random) == 0));
    }

    #[test]
    fn weights_hold() {
        let mut random = Random::new(3);
        let list = [('a', 1), ('b', 0), ('c', 3)];
        let drawn: String = (0..40_000).map(|_| random.weighted(&list)).collect();
        assert!(!drawn.contains('b'));
        let share = drawn.matches('a').count();
        assert!((9_500..10_500).contains(&share), "{share}");
    }

    #[test]
    fn the_stream_never_changes() {
        let mut random = Random::new(42);
        let words: Vec<u64> = (0..3).map(|_| random.word()).collect();
        assert_eq!(words, STREAM_OF_42);
    }

    /// Captures that were described by their configuration alone depend on these.
    const STREAM_OF_42: [u64; 3] = [
        12_578_764_544_318_200_737,
        17_529_487_244_874_322_312,
        7_886_285_670_807_131_020,
    ];
}
