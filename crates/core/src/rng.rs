//! Named seed tree: a root seed and a path such as `data/train/17/noise` give one random stream.
//!
//! A stream depends on nothing but the root seed and its path, so results are the same whatever the thread count,
//! the shard or the order in which work is done. The stream's key is SHA-256 of the root seed and the path; the
//! generator is ChaCha with 8 rounds, whose output is specified and the same on every platform.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The generator of every stream.
pub type Stream = ChaCha8Rng;

/// A node of the seed tree; cheap to clone, printable for provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedTree {
    root: u64,
    path: String,
}

impl SeedTree {
    /// The root of the tree.
    pub fn new(root: u64) -> Self {
        Self { root, path: String::new() }
    }

    /// The child named `name` (any displayable value: a word, an index).
    pub fn child(&self, name: impl std::fmt::Display) -> Self {
        Self { root: self.root, path: format!("{}/{name}", self.path) }
    }

    /// `root:/path`, as written to manifests.
    pub fn label(&self) -> String {
        format!("{}:{}", self.root, if self.path.is_empty() { "/" } else { &self.path })
    }

    /// The random stream of this node.
    pub fn stream(&self) -> Stream {
        let mut hash = Sha256::new();
        hash.update(self.root.to_le_bytes());
        hash.update(self.path.as_bytes());
        let key: [u8; 32] = hash.finalize().into();
        ChaCha8Rng::from_seed(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn a_stream_depends_on_root_and_path_only() {
        let node = SeedTree::new(7).child("data").child(17);
        assert_eq!(node.stream().next_u64(), SeedTree::new(7).child("data").child(17).stream().next_u64());
        assert_ne!(node.stream().next_u64(), SeedTree::new(8).child("data").child(17).stream().next_u64());
        assert_ne!(node.stream().next_u64(), SeedTree::new(7).child("data").child(18).stream().next_u64());
        assert_eq!(node.label(), "7:/data/17");
    }
}
