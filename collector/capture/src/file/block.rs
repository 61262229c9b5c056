//! Blocks of a capture: memory that records lie in and that may be shared with other threads.

use std::collections::VecDeque;
use std::sync::Arc;

/// Octets of a capture as they were read. Clones share them, so that a record can go to another
/// thread without being copied; they change only when nobody shares them any more.
#[derive(Clone)]
pub struct Block(Arc<Vec<u8>>);

impl Block {
    /// A block of this many octets.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(vec![0; bytes]))
    }

    /// Its octets.
    #[inline]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Is the other one a clone of this?
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its octets, for writing; none while it is shared.
    pub(super) fn fillable(&mut self) -> Option<&mut Vec<u8>> {
        Arc::get_mut(&mut self.0)
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block of {} octets", self.0.len())
    }
}

/// Blocks beyond this number that others still hold are theirs to free.
const MOST_LENT: usize = 64;

/// Blocks that were given away: memory to read into again once nobody else holds them.
#[derive(Debug, Default)]
pub(super) struct Lent(VecDeque<Block>);

impl Lent {
    /// Remembers a block that others may hold.
    pub fn put(&mut self, block: Block) {
        if self.0.len() < MOST_LENT {
            self.0.push_back(block);
        }
    }

    /// A block of this many octets that nobody else holds: one that was lent, or a new one.
    pub fn take(&mut self, bytes: usize) -> Block {
        let free = (self.0.iter_mut()).position(|block| block.fillable().is_some());
        // One that grew for a large record goes when it is not needed.
        free.and_then(|place| self.0.swap_remove_front(place))
            .filter(|block| block.octets().len() == bytes)
            .unwrap_or_else(|| Block::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_once_nobody_holds_it() {
        let mut lent = Lent::default();
        let block = lent.take(16);
        let (address, held) = (block.octets().as_ptr(), block.clone());
        lent.put(block);
        let other = lent.take(16);
        assert!(!other.is(&held), "it is still held");
        drop(held);
        assert_eq!(lent.take(16).octets().as_ptr(), address);
        lent.put(other);
        assert_eq!(lent.take(64).octets().len(), 64, "a block fits");
    }
}
