//! What a network is made of: named arrays, and how they begin.

/// One parameter array.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Name; for the published networks the key of the PyTorch state dict.
    pub name: String,
    /// Shape, row-major; complex arrays have a last axis of length 2 (real, imaginary).
    pub shape: Vec<usize>,
    /// How it begins.
    pub init: Init,
}

/// The law from which a parameter is drawn before training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Uniform on \[low, high).
    Uniform(f32, f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Normal with mean 0 and this standard deviation, and fixed: training does not change it.
    Fixed(f32),
}

impl Param {
    /// A parameter array.
    pub(super) fn new(name: impl Into<String>, shape: &[usize], init: Init) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), init }
    }

    /// Number of values; where that is beyond all counting, the largest number.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |product, &length| product.saturating_mul(length))
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether training changes it.
    pub fn trained(&self) -> bool {
        !matches!(self.init, Init::Fixed(_))
    }
}
