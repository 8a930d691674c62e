//! One trajectory on disk while its data set is being made.

use std::path::Path;

use ndarray::Array3;
use sha2::{Digest, Sha256};

use crate::artifact::write_atomically;
use crate::error::{Error, Result};
use crate::flow::Snapshot;
use crate::spectral::Field;

/// First bytes of the file: kind and layout version.
const MAGIC: &[u8; 16] = b"lacuna part   1\n";
/// Bytes of the checksum at the end.
const DIGEST: usize = 32;

/// The snapshots of one trajectory, each array (snapshots, n, n).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// ω, H, known part.
    pub fields: [Array3<f32>; 3],
}

impl Part {
    pub fn new(snapshots: usize, n: usize) -> Self {
        Self { fields: std::array::from_fn(|_| Array3::zeros((snapshots, n, n))) }
    }

    /// Fills snapshot `k`.
    pub fn set(&mut self, k: usize, pair: &Snapshot) {
        let from: [&Field; 3] = [&pair.vorticity, &pair.closure, &pair.known];
        for (to, from) in self.fields.iter_mut().zip(from) {
            to.index_axis_mut(ndarray::Axis(0), k).zip_mut_with(from, |to, &from| *to = from as f32);
        }
    }

    /// Writes header, the three arrays as little-endian f32, and the SHA-256 of all that; atomically.
    ///
    /// # Errors
    /// I/O.
    pub fn write(&self, path: &Path) -> Result<()> {
        let (snapshots, n, _) = self.fields[0].dim();
        let mut bytes = Vec::with_capacity(size(snapshots, n));
        bytes.extend_from_slice(&header(snapshots, n));
        for field in &self.fields {
            field.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        write_atomically(path, &bytes)
    }

    /// Reads what [`Part::write`] wrote.
    ///
    /// # Errors
    /// I/O, or not such a file, or damaged; the message says that deleting it has it made again.
    pub fn read(path: &Path, snapshots: usize, n: usize) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(Error::io(path))?.len();
        let wrong = |what: String| Error::Artifact {
            path: path.into(),
            what: format!("{what}; delete it to have the trajectory made again"),
        };
        // Before it is read: it may be of any length.
        let bytes =
            if found == size(snapshots, n) as u64 { std::fs::read(path).map_err(Error::io(path))? } else { Vec::new() };
        if !bytes.starts_with(&header(snapshots, n)) {
            let what = format!("expected a part of {snapshots} snapshots at {n}², {} bytes", size(snapshots, n));
            return Err(wrong(format!("{what}; found {found} bytes")));
        }
        let (content, digest) = bytes.split_at(bytes.len() - DIGEST);
        if Sha256::digest(content)[..] != *digest {
            return Err(wrong("checksum does not match".into()));
        }
        let mut out = Self::new(snapshots, n);
        let values = content[MAGIC.len() + 16..].chunks_exact(4);
        for (to, from) in out.fields.iter_mut().flat_map(|field| field.iter_mut()).zip(values) {
            *to = f32::from_le_bytes([from[0], from[1], from[2], from[3]]);
        }
        Ok(out)
    }
}

fn size(snapshots: usize, n: usize) -> usize {
    MAGIC.len() + 16 + 3 * 4 * snapshots * n * n + DIGEST
}

fn header(snapshots: usize, n: usize) -> Vec<u8> {
    [&MAGIC[..], &(snapshots as u64).to_le_bytes(), &(n as u64).to_le_bytes()].concat()
}
