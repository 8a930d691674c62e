//! Named arrays and a description as safetensors.
//!
//! Every tensor is named `ROLE.PARAMETER` (f32, row-major; complex arrays have a last axis of real and imaginary part), with the
//! parameter names of [`super::Network::params`], which are PyTorch's for the published architecture. The metadata hold the
//! description under `lacuna` and `format = "pt"`, so that PyTorch and others read the file as theirs.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

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
    serialize(views, Some(metadata)).map_err(|error| error.to_string())
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
