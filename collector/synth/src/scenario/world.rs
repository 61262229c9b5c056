//! Addresses of a scenario's sources: every country has blocks of its own, most blocks have no owner.

use std::borrow::Cow;

use super::error::ScenarioError;
use super::plan::{CountryShare, ScenarioPlan};
use crate::address::{AddressBlock, Addresses, BLOCK_BITS, Source, free_blocks4};
use crate::random::{Random, scramble};

/// Places of a lane that sources of countries live at; those above are for forged ones.
const LIVED_IN: u64 = 1 << (BLOCK_BITS - 1);
/// A country has so many lanes at least, and is filled to a quarter at most.
const FEWEST_BLOCKS: u64 = 4;
const ROOM: u64 = 4;
/// The first private AS number of 32 bits (RFC 6996).
const FIRST_SYSTEM: u32 = 4_200_000_000;
/// AS numbers from one country's first to the next one's.
const SYSTEMS: u32 = 10;
/// Which of its AS numbers a country's lanes have, in turn: the first have most.
const HOLDERS: [u32; 8] = [0, 1, 0, 2, 0, 1, 3, 4];
/// A prime, so that counting by it meets every forged source once.
const FORGED_STEP: u64 = 1_000_000_007;

/// Which of its pool's places a row's sources have reached.
pub(super) struct Turnover {
    /// By row and country, in thousandths of a place.
    gone: Vec<Vec<u64>>,
}

impl Turnover {
    pub fn new(plan: &ScenarioPlan) -> Self {
        Self {
            gone: vec![vec![0; plan.countries.len()]; plan.rows.len()],
        }
    }

    /// The first place of a day's sources; called once a day, in the order of days.
    pub fn first(&mut self, plan: &ScenarioPlan, row: usize, share: &CountryShare) -> u64 {
        let gone = &mut self.gone[row][share.country];
        let first = *gone / 1000;
        *gone += share.sources * 1000 / plan.rows[row].stay;
        first
    }
}

/// The map.
pub(super) struct World {
    pub addresses: Addresses,
    /// Numbers of its lanes, by country.
    lanes: Vec<Vec<u64>>,
    /// All lanes, inhabited or not.
    count: u64,
    /// The first place, by pool and country.
    bases: Vec<Vec<u64>>,
}

impl World {
    /// Gives every country room for the sources that the plan has of it.
    pub fn new(plan: &ScenarioPlan) -> Result<Self, ScenarioError> {
        let mut random = Random::new(plan.seed());
        let countries = plan.countries.len();
        let (bases, needs) = places(plan);
        let mut blocks = free_blocks4(&plan.prefixes);
        for last in (1..blocks.len()).rev() {
            blocks.swap(last, random.below(last as u64 + 1) as usize);
        }
        let mut lanes: Vec<AddressBlock> = (blocks.iter())
            .map(|&block4| AddressBlock {
                block4,
                block6: 0,
                country: Cow::Borrowed(""),
                system: 0,
            })
            .collect();
        let mut owned = vec![Vec::new(); countries];
        let mut free = lanes.iter_mut().enumerate();
        for (number, need) in needs.iter().enumerate() {
            for turn in 0..FEWEST_BLOCKS + ROOM * need / LIVED_IN {
                let Some((place, lane)) = free.next() else {
                    return Err(ScenarioError::Plan {
                        what: "there are more sources than addresses".into(),
                    });
                };
                lane.country = plan.countries[number].clone().into();
                let holder = HOLDERS[turn as usize % HOLDERS.len()];
                lane.system = FIRST_SYSTEM + number as u32 * SYSTEMS + holder;
                owned[number].push(place as u64);
            }
        }
        Ok(Self {
            count: lanes.len() as u64,
            addresses: Addresses::of_blocks(lanes, &plan.prefixes, &mut random),
            lanes: owned,
            bases,
        })
    }

    /// The source at a place of a pool, in a country.
    #[inline]
    pub fn source(&self, pool: usize, country: usize, place: u64) -> Source {
        let lanes = &self.lanes[country];
        let place = self.bases[pool][country] + place;
        let count = lanes.len() as u64;
        let lane = lanes[(place % count) as usize];
        // So that neighbours do not have the same end of an address in every block.
        let place = (place / count) ^ (scramble(lane) % LIVED_IN);
        self.addresses.source(place * self.count + lane)
    }

    /// A forged source, another one for each number; no country's sources are among them.
    #[inline]
    pub fn forged(&self, number: u64) -> Source {
        let all = LIVED_IN * self.count;
        let product = u128::from(number) * u128::from(FORGED_STEP) % u128::from(all);
        self.addresses.source(all + product as u64)
    }
}

/// The first place by pool and country, and how many places each country needs.
fn places(plan: &ScenarioPlan) -> (Vec<Vec<u64>>, Vec<u64>) {
    let countries = plan.countries.len();
    let mut sizes = vec![vec![0; countries]; plan.pools];
    let mut turnover = Turnover::new(plan);
    for day in plan.days() {
        for (number, row) in plan.rows.iter().enumerate() {
            for share in plan.shares(number, day) {
                let last = turnover.first(plan, number, &share) + share.sources;
                let size: &mut u64 = &mut sizes[row.pool][share.country];
                *size = last.max(*size);
            }
        }
    }
    let mut next = vec![0; countries];
    for pool in &mut sizes {
        for (size, next) in pool.iter_mut().zip(&mut next) {
            let base = *next;
            *next += *size;
            *size = base;
        }
    }
    (sizes, next)
}
