//! Whole numbers in proportion: how packets are shared out, and in which order they come.

use crate::random::scramble;

/// Splits a number in proportion to weights: each part is the proportion, rounded down or up, and
/// the largest remainders go up. Where all weighs nothing, nothing is given.
pub(super) fn split(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: u64| u128::from(total) * u128::from(weight);
    let mut parts: Vec<u64> = (weights.iter())
        .map(|&weight| (exact(weight) / sum) as u64)
        .collect();
    let left = total - parts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(exact(weights[place]) % sum));
    for &place in order.iter().take(left as usize) {
        parts[place] += 1;
    }
    parts
}

/// The value at a place, on straight lines between points; 0 outside.
pub(super) fn interpolate(points: &[(i64, u64)], at: i64) -> u64 {
    let after = points.partition_point(|&(place, _)| place <= at);
    let Some(&(from, low)) = after.checked_sub(1).and_then(|before| points.get(before)) else {
        return 0;
    };
    let Some(&(to, high)) = points.get(after) else {
        return if from == at { low } else { 0 };
    };
    let (span, way) = (i128::from(to - from), i128::from(at - from));
    let rise = (i128::from(high) - i128::from(low)) * way;
    (i128::from(low) + rise.div_euclid(span.max(1))) as u64
}

/// The number, up to `thousandths` more or less.
pub(super) fn waver(number: u64, thousandths: u64, seed: u64, place: u64) -> u64 {
    let off = below(scramble(scramble(seed) ^ place), 2 * thousandths + 1);
    let factor = 1000 + off - thousandths.min(1000);
    (u128::from(number) * u128::from(factor) / 1000) as u64
}

/// A random word as a number below a limit.
#[inline]
pub(super) fn below(word: u64, limit: u64) -> u64 {
    ((u128::from(word) * u128::from(limit)) >> 64) as u64
}

/// A walk through 0..n that meets every number once, neighbours far apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpreadOrder {
    count: u64,
    step: u64,
    at: u64,
}

impl SpreadOrder {
    pub fn new(count: u64, seed: u64) -> Self {
        let count = count.max(1);
        // Near the golden section, so that every stretch of the walk is spread evenly.
        let golden = (u128::from(count) * 618_034 / 1_000_000) as u64;
        let mut step = golden.max(1);
        while common(step, count) != 1 {
            step += 1;
        }
        Self {
            count,
            step: step % count,
            at: below(scramble(seed), count),
        }
    }

    #[inline]
    pub fn step(&mut self) -> u64 {
        let now = self.at;
        let room = self.count - self.at;
        self.at = if self.step >= room {
            self.step - room
        } else {
            self.at + self.step
        };
        now
    }
}

/// Greatest common divisor.
fn common(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_add_up_and_keep_proportion(
            total in 0..1u64 << 40,
            weights in prop::collection::vec(0..1u64 << 30, 1..60),
        ) {
            let parts = split(total, &weights);
            let sum: u64 = weights.iter().sum();
            let given: u64 = parts.iter().sum();
            prop_assert_eq!(given, if sum == 0 { 0 } else { total });
            for (&part, &weight) in parts.iter().zip(&weights) {
                if sum > 0 {
                    let exact = u128::from(total) * u128::from(weight);
                    let (low, sum) = (exact / u128::from(sum), u128::from(sum));
                    prop_assert!(u128::from(part) == low || u128::from(part) == low + 1);
                    prop_assert!(exact % sum != 0 || u128::from(part) == low);
                }
            }
        }

        #[test]
        fn a_walk_meets_every_number_once(count in 1..3000u64, seed: u64) {
            let mut walk = SpreadOrder::new(count, seed);
            let mut met: Vec<u64> = (0..count).map(|_| walk.step()).collect();
            met.sort_unstable();
            prop_assert!(met.into_iter().eq(0..count));
        }

        #[test]
        fn what_wavers_stays_near(number in 0..1u64 << 40, seed: u64, place: u64) {
            let found = waver(number, 40, seed, place);
            prop_assert!(found >= number * 96 / 100 && found <= number * 104 / 100 + 1);
            prop_assert_eq!(waver(number, 0, seed, place), number);
        }
    }

    #[test]
    fn lines_join_points() {
        let points = [(10, 100), (20, 200), (30, 0)];
        let found = [9, 10, 15, 20, 25, 29, 30, 31].map(|at| interpolate(&points, at));
        assert_eq!(found, [0, 100, 150, 200, 100, 20, 0, 0]);
        assert_eq!([4, 5, 6].map(|at| interpolate(&[(5, 7)], at)), [0, 7, 0]);
    }
}
