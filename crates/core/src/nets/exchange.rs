//! Named arrays and a description as safetensors.
//!
//! Every tensor is named `ROLE.PARAMETER` (f32, row-major; complex arrays have a last axis of real and imaginary part), with the
//! parameter names of [`super::Network::params`], which are PyTorch's for the published architecture. The metadata hold the
//! description under `lacuna` and `format = "pt"`, so that PyTorch and others read the file as theirs.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde_json::Value;

/// Key of the description in the metadata.
const KEY: &str = "lacuna";

/// The file of arrays by name and shape, and of their description.
pub(super) fn written(header: String, tensors: Vec<(String, Vec<usize>, &[f32])>) -> Result<Vec<u8>, String> {
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let tensors: Vec<_> = tensors.into_iter().map(|(name, shape, values)| (name, shape, bytes(values))).collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (name, shape, bytes) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|error| error.to_string())?;
        views.push((name, view));
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string()), (KEY.to_string(), header)]);
    let mut file = serialize(views, Some(metadata)).map_err(|error| error.to_string())?;
    in_order(&mut file)?;
    Ok(file)
}

/// Puts the metadata of a file in alphabetic order: the crate writes them in that of a hash table, another one each time.
fn in_order(file: &mut [u8]) -> Result<(), String> {
    const METADATA: &str = "__metadata__";
    let (length, rest) = file.split_first_chunk_mut().ok_or("safetensors without a length")?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|error| error.to_string())?;
    let header = rest.get_mut(..length).ok_or("safetensors without a header")?;
    let mut parts: BTreeMap<String, Value> = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let metadata: BTreeMap<String, String> = parts
        .remove(METADATA)
        .map_or(Ok(BTreeMap::new()), serde_json::from_value)
        .map_err(|error| error.to_string())?;
    let text = |value: serde_json::Result<String>| value.map_err(|error| error.to_string());
    let mut ordered =
        format!("{{{}:{}", text(serde_json::to_string(METADATA))?, text(serde_json::to_string(&metadata))?);
    for (name, tensor) in &parts {
        ordered += &format!(",{}:{}", text(serde_json::to_string(name))?, text(serde_json::to_string(tensor))?);
    }
    ordered.push('}');
    // The same text in another order, up to the blanks at its end.
    if ordered.len() > length {
        return Err(format!("a header of {} bytes for {length}", ordered.len()));
    }
    header.fill(b' ');
    header[..ordered.len()].copy_from_slice(ordered.as_bytes());
    Ok(())
}

/// Whether a file begins as safetensors do: the length of a header, and the header.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// What [`written`] wrote.
pub(super) struct Tensors<'a>(SafeTensors<'a>);

impl<'a> Tensors<'a> {
    /// The arrays of a file, and their description.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(String, Self), String> {
        let (_, about) = SafeTensors::read_metadata(bytes).map_err(|error| format!("no safetensors: {error}"))?;
        let header = about
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(KEY))
            .ok_or("safetensors without a description of lacuna's; `lacuna import` reads state dicts of others")?;
        Ok((header.clone(), Self(SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?)))
    }

    /// An array of that shape.
    pub(super) fn array(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.0.tensor(name).map_err(|_| format!("no tensor `{name}`"))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let (kind, found) = (tensor.dtype(), tensor.shape());
            return Err(format!("tensor `{name}`: expected {shape:?} of F32, found {found:?} of {kind:?}"));
        }
        Ok(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}
