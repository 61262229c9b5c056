//! Blocks of memory that hold a capture's records and that threads may share.

use std::collections::VecDeque;
use std::sync::Arc;

/// Octets of a capture as they were read. Clones share the octets, so that a record can go to
/// another thread without being copied. The octets change only while there is no other clone.
#[derive(Clone)]
pub struct Block(Arc<Vec<u8>>);

impl Block {
    /// A block of `bytes` octets, all zero.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(vec![0; bytes]))
    }

    /// The block's octets.
    #[inline]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// True if `other` is a clone of this block.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The block's octets for writing; `None` while there is another clone.
    pub(super) fn fillable(&mut self) -> Option<&mut Vec<u8>> {
        Arc::get_mut(&mut self.0)
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block of {} octets", self.0.len())
    }
}

/// Most blocks that are remembered; further blocks are freed by the last thread that holds them.
const MOST_LENT: usize = 64;

/// Blocks that other threads may still hold. Each is used again once it has no other clone.
#[derive(Debug, Default)]
pub(super) struct Lent(VecDeque<Block>);

impl Lent {
    /// Remembers a block that other threads may hold.
    pub fn put(&mut self, block: Block) {
        if self.0.len() < MOST_LENT {
            self.0.push_back(block);
        }
    }

    /// A block of `bytes` octets without another clone: a remembered block or a new one.
    pub fn take(&mut self, bytes: usize) -> Block {
        let free = (self.0.iter_mut()).position(|block| block.fillable().is_some());
        // A block that grew for a large record is freed here.
        free.and_then(|place| self.0.swap_remove_front(place))
            .filter(|block| block.octets().len() == bytes)
            .unwrap_or_else(|| Block::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_once_it_has_no_other_clone() {
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
