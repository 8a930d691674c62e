//! The arrays of a state dict, by key: files of `torch.save` (PyTorch 1.6 and later) and of safetensors.
//!
//! The former are zip archives of stored (uncompressed) entries: `NAME/data.pkl`, a pickle that describes the tensors, and
//! `NAME/data/KEY`, the little-endian values of each storage.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::pickle::{Id, Pickle, Value};
use crate::error::{Error, Result, shown};
use crate::file::{WEIGHT_BYTES, lfs_pointer, read};

/// Keys under which checkpoints of trainings keep the state dict.
const WRAPPINGS: [&str; 3] = ["model_state_dict", "state_dict", "model"];
/// What DataParallel and torch.compile put before every key.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// A tensor: complex values are pairs on a last axis of length 2.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

pub(super) type Arrays = BTreeMap<String, Array>;

/// How the numbers of a storage are read: those of an element, and the bytes and the reading of each.
#[derive(Clone, Copy)]
struct Numbers {
    parts: usize,
    size: usize,
    read: fn(&[u8]) -> f32,
}

impl Numbers {
    fn new(kind: &str) -> Option<Self> {
        fn bytes<const N: usize>(bytes: &[u8]) -> [u8; N] {
            std::array::from_fn(|i| bytes[i])
        }
        let (parts, size, read): (_, _, fn(&[u8]) -> f32) = match kind {
            "FloatStorage" | "F32" => (1, 4, |b| f32::from_le_bytes(bytes(b))),
            "DoubleStorage" | "F64" => (1, 8, |b| f64::from_le_bytes(bytes(b)) as f32),
            "HalfStorage" | "F16" => (1, 2, |b| f16::from_le_bytes(bytes(b)).to_f32()),
            "BFloat16Storage" | "BF16" => (1, 2, |b| bf16::from_le_bytes(bytes(b)).to_f32()),
            "ComplexFloatStorage" | "C64" => (2, 4, |b| f32::from_le_bytes(bytes(b))),
            "ComplexDoubleStorage" => (2, 8, |b| f64::from_le_bytes(bytes(b)) as f32),
            _ => return None,
        };
        Some(Self { parts, size, read })
    }

    /// The array of elements at the given places of a storage; `None` where it has no such.
    fn array(
        self,
        mut shape: Vec<usize>,
        storage: &[u8],
        places: impl Iterator<Item = Option<usize>>,
    ) -> Option<Array> {
        let width = self.parts * self.size;
        let mut values = Vec::new();
        for place in places {
            let start = place?.checked_mul(width)?;
            let element = storage.get(start..start.checked_add(width)?)?;
            values.extend(element.chunks_exact(self.size).map(self.read));
        }
        if self.parts == 2 {
            shape.push(2);
        }
        Some(Array { shape, values })
    }
}

/// Reads a file.
///
/// # Errors
/// I/O, or no such file, with what it is instead; arrays of types that are not read; anything that does not fit together.
pub(super) fn state_dict(path: &Path) -> Result<Arrays> {
    let bytes = read(path, WEIGHT_BYTES)?;
    let arrays = match bytes.as_slice() {
        [b'P', b'K', ..] => torch(&bytes),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors(&bytes),
        other => Err(what_else(other).into()),
    };
    let mut arrays = arrays.map_err(|what| Error::Artifact { path: path.into(), what })?;
    while let Some(prefix) = PREFIXES.iter().find(|prefix| arrays.keys().all(|key| key.starts_with(**prefix)))
        && !arrays.is_empty()
    {
        arrays = arrays.into_iter().map(|(key, array)| (key[prefix.len()..].to_string(), array)).collect();
    }
    Ok(arrays)
}

/// What a file is that is no state dict.
fn what_else(bytes: &[u8]) -> &'static str {
    /// What `torch.save` began with before version 1.6: a pickled integer of ten bytes.
    const OLD: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9";
    if let Some(pointer) = lfs_pointer(bytes) {
        pointer
    } else if bytes.starts_with(OLD) {
        "no zip archive but the format from before PyTorch 1.6; load and save it with a later one"
    } else {
        "neither a zip archive, as torch.save writes it from PyTorch 1.6 on, nor a file of safetensors"
    }
}

fn safetensors(bytes: &[u8]) -> Result<Arrays, String> {
    let tensors =
        SafeTensors::deserialize(bytes).map_err(|error| format!("not a whole file of safetensors: {error}"))?;
    let array = |(key, tensor): (&str, safetensors::tensor::TensorView)| {
        let kind: Dtype = tensor.dtype();
        let numbers = Numbers::new(&format!("{kind:?}"));
        let numbers = numbers.ok_or_else(|| format!("`{}`: values of type {kind:?}; floats are read", shown(key)))?;
        let count = tensor.data().len() / (numbers.parts * numbers.size);
        let array = numbers.array(tensor.shape().to_vec(), tensor.data(), (0..count).map(Some));
        Ok((key.to_string(), array.ok_or("cut off")?))
    };
    tensors.iter().map(array).collect()
}

fn torch(bytes: &[u8]) -> Result<Arrays, String> {
    let entries = entries(bytes)?;
    let (prefix, pickle) = entries
        .iter()
        .find_map(|(name, entry)| name.strip_suffix("data.pkl").map(|prefix| (prefix, entry)))
        .ok_or("a zip archive without `data.pkl`: not written by torch.save")?;
    if entries.get(&format!("{prefix}byteorder")).is_some_and(|order| *order != b"little") {
        return Err("written on a big-endian machine; save it again on a little-endian one".into());
    }
    let pickle = Pickle::read(pickle)?;
    let dict = |id: Id| if let Value::Dict(items) = pickle.get(id) { Some(items.as_slice()) } else { None };
    let mut items = dict(pickle.root)
        .ok_or_else(|| format!("{}, no dict; save the module's state_dict()", shown(&pickle.kind(pickle.root))))?;
    let wrapped = |key: Id| pickle.text(key).is_some_and(|key| WRAPPINGS.contains(&key));
    if let Some(inner) = items.iter().filter(|item| wrapped(item.0)).find_map(|item| dict(item.1)) {
        items = inner;
    }
    let array = |&(key, value): &(Id, Id)| {
        let key = pickle.text(key).ok_or_else(|| format!("a key of the state dict is {}", shown(&pickle.kind(key))))?;
        let array = tensor(&pickle, value, prefix, &entries).map_err(|what| format!("`{}`: {what}", shown(key)))?;
        Ok((key.to_string(), array))
    };
    items.iter().map(array).collect()
}

/// Rebuilds a tensor from its pickled description (storage, offset, shape, strides, …).
fn tensor(pickle: &Pickle, value: Id, prefix: &str, entries: &BTreeMap<String, &[u8]>) -> Result<Array, String> {
    let mut call = pickle.call(value);
    if let Some(("torch._utils", "_rebuild_parameter", [tensor, ..])) = call {
        call = pickle.call(*tensor);
    }
    let Some(("torch._utils", "_rebuild_tensor_v2", &[storage, offset, shape, strides, ..])) = call else {
        return Err(format!("no tensor but {}", shown(&pickle.kind(value))));
    };
    let malformed = || "malformed tensor".to_string();
    let Value::Persistent(storage) = *pickle.get(storage) else { return Err(malformed()) };
    let (shape, strides) = pickle.indices(shape).zip(pickle.indices(strides)).ok_or_else(malformed)?;
    let offset = pickle.index(offset).ok_or_else(malformed)?;
    let &[_, kind, key, ..] = pickle.list(storage).ok_or_else(malformed)? else { return Err(malformed()) };
    let (Value::Global(_, kind), Some(key)) = (pickle.get(kind), pickle.text(key)) else { return Err(malformed()) };
    if strides.len() != shape.len() {
        return Err(format!("{} strides for the shape {shape:?}", strides.len()));
    }
    let numbers = Numbers::new(kind).ok_or_else(|| format!("values of type {}; floats are read", shown(kind)))?;
    let storage = entries.get(&format!("{prefix}data/{key}")).ok_or_else(|| format!("no storage `{}`", shown(key)))?;
    // A tensor no larger than its storage, and indices within it: sizes come from a file.
    let cut = || format!("the shape {shape:?} with strides {strides:?} does not fit storage `{}`", shown(key));
    let count = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    let count = count.filter(|&count| count > 0 && count <= storage.len() / (numbers.parts * numbers.size));
    // Index of an element of the row-major result in the strided storage.
    let place = |at: usize| {
        let (mut rest, mut index) = (at, offset);
        for (&length, &stride) in shape.iter().zip(&strides).rev() {
            index = index.checked_add((rest % length).checked_mul(stride)?)?;
            rest /= length;
        }
        Some(index)
    };
    let count = count.ok_or_else(cut)?;
    numbers.array(shape.clone(), storage, (0..count).map(place)).ok_or_else(cut)
}

/// The stored entries of a zip archive (APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16) by name, each against its CRC-32.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, &[u8]>, String> {
    let cut = || "zip archive cut off or damaged".to_string();
    let part = |at: usize, len: usize| bytes.get(at..at.checked_add(len)?);
    let number = |at: usize, len: usize| -> Result<usize, String> {
        Ok(part(at, len).ok_or_else(cut)?.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
    };
    // The end record is the last thing in the file but for a comment of up to 64 KiB.
    let last = bytes.len().saturating_sub(22);
    let end = (last.saturating_sub(65_536)..=last).rev().find(|&at| bytes[at..].starts_with(b"PK\x05\x06"));
    let end = end.ok_or_else(cut)?;
    let (count, mut at) = (number(end + 10, 2)?, number(end + 16, 4)?);
    if at == 0xffff_ffff || count == 0xffff {
        return Err("zip archive of more than 4 GiB or 65,534 entries".into());
    }
    let mut out = BTreeMap::new();
    for _ in 0..count {
        let (method, sum, size) = (number(at + 10, 2)?, number(at + 16, 4)?, number(at + 24, 4)?);
        let [name, extra, comment] = [number(at + 28, 2)?, number(at + 30, 2)?, number(at + 32, 2)?];
        let local = number(at + 42, 4)?;
        let text = String::from_utf8_lossy(part(at + 46, name).ok_or_else(cut)?).into_owned();
        if part(at, 4) != Some(b"PK\x01\x02") || part(local, 4) != Some(b"PK\x03\x04") {
            return Err(cut());
        }
        if method != 0 {
            return Err(format!("zip entry `{}` is compressed; torch.save stores", shown(&text)));
        }
        let start = local + 30 + number(local + 26, 2)? + number(local + 28, 2)?;
        let content = part(start, size).ok_or_else(|| format!("zip entry `{}` is cut off", shown(&text)))?;
        let found = crc32fast::hash(content) as usize;
        if found != sum {
            return Err(format!("zip entry `{}` is damaged: CRC-32 {found:08x}, expected {sum:08x}", shown(&text)));
        }
        out.insert(text, content);
        at += 46 + name + extra + comment;
    }
    Ok(out)
}
