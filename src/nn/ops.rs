//! What the networks are made of: products, pointwise layers, periodic convolutions, spectral convolutions, group norm.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use crate::config::{Padding, Precision};
use crate::nets::{Dft, NORM_EPSILON};

/// A constant tensor from plain values.
pub(super) fn constant<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The values of an f32 tensor, row-major; on a CPU nothing is copied where nobody else holds them.
///
/// # Panics
/// On other types of values, which no tensor of this crate has.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    #[allow(deprecated)] // the name in all releases that the manifest allows
    match tensor.into_data().into_vec() {
        Ok(values) => values,
        Err(error) => unreachable!("every tensor of this crate is f32: {error:?}"),
    }
}

/// How the networks multiply matrices and convolve: the one place where [`Precision`] acts. With [`Precision::Bf16`] operands are
/// rounded and products brought back to f32; gradients pass through both, rounded alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Product(pub(crate) Precision);

impl Product {
    /// A tensor as an operand; nothing where it is one already.
    pub(super) fn operand<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self.0 {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16),
        }
    }

    /// The product of operands, or of products of operands, in f32.
    pub(super) fn result<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self.0 {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::F32),
        }
    }

    /// a b as matrices in the last two axes.
    pub(crate) fn matmul<const D: usize>(self, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
        self.result(self.operand(a).matmul(self.operand(b)))
    }

    /// Convolution of h (batch, from, n, n) with `weight` (to, from, rows, columns), plus `bias` (to).
    fn conv2d(self, h: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: ConvOptions<2>) -> Tensor<4> {
        if self.0 == Precision::F32 {
            return conv2d(h, weight, bias, options);
        }
        let out = self.result(conv2d(self.operand(h), self.operand(weight), None, options));
        shifted(out, bias)
    }
}

/// W h + b at every point: h (batch, from, n, n), W (to, from), b (to).
pub(super) fn pointwise(product: Product, h: Tensor<4>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let [batch, from, n, m] = h.dims();
    let [to, _] = weight.dims();
    let out = product.matmul(weight.unsqueeze::<3>(), h.reshape([batch, from, n * m])).reshape([batch, to, n, m]);
    shifted(out, bias)
}

/// h (batch, channels, n, n) plus `bias` (channels).
fn shifted(h: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let channels = h.dims()[1];
    match bias {
        Some(bias) => h + bias.reshape([1, channels, 1, 1]),
        None => h,
    }
}

/// 3×3 convolution, padded by one point; with `stride` 2 the output is centred on every second point.
pub(super) fn conv3(
    product: Product,
    h: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: Padding,
) -> Tensor<4> {
    let (h, pad) = match padding {
        Padding::Periodic => (wrap(wrap(h, 2), 3), 0),
        Padding::Zero => (h, 1),
    };
    product.conv2d(h, weight, bias, ConvOptions::new([stride; 2], [pad; 2], [1; 2], 1))
}

/// One periodic point before and one after, along `dim`.
fn wrap(h: Tensor<4>, dim: usize) -> Tensor<4> {
    let n = h.dims()[dim];
    let (first, last) = (h.clone().narrow(dim, 0, 1), h.clone().narrow(dim, n - 1, 1));
    Tensor::cat(vec![last, h, first], dim)
}

/// The truncated transforms of [`Dft`] on a device.
pub(super) struct Fourier {
    product: Product,
    n: usize,
    modes: usize,
    y: Tensor<2>,
    x: Tensor<2>,
    x_back: Tensor<2>,
    y_back: Tensor<2>,
}

impl Fourier {
    pub(super) fn new(product: Product, n: usize, modes: usize, device: &Device) -> Self {
        let Dft { y, x, x_back, y_back, .. } = Dft::new(n, modes);
        let matrix = |values: Vec<f32>, shape: [usize; 2]| product.operand(constant(values, shape, device));
        Self {
            product,
            n,
            modes,
            y: matrix(y, [n, 2 * modes]),
            x: matrix(x, [2 * n, 4 * modes]),
            x_back: matrix(x_back, [4 * modes, 2 * n]),
            y_back: matrix(y_back, [2 * modes, n]),
        }
    }

    /// Spectral convolution of h (batch, from, n, n): modes times complex matrices `re` + i `im`, each (2m·m, from, to), rows in
    /// FFT order along x, then along y.
    pub(super) fn convolve(&self, h: Tensor<4>, re: Tensor<3>, im: Tensor<3>) -> Tensor<4> {
        let &Self { product, n, modes: m, .. } = self;
        let [batch, from, _, _] = h.dims();
        let [_, _, to] = re.dims();
        // Products of products: what is rounded already stays as it is until the last of them.
        let z = product.operand(h).reshape([batch * from * n, n]).matmul(self.y.clone());
        let z = z.reshape([batch, from, n, 2, m]).permute([0, 1, 4, 3, 2]);
        let z = z.reshape([batch * from * m, 2 * n]).matmul(self.x.clone());
        // (batch, from, k_y, c, k_x) → (k_x, k_y, batch, c, from): one matrix product per mode.
        let z = z.reshape([batch, from, m, 2, 2 * m]).permute([4, 2, 0, 3, 1]);
        let z = z.reshape([2 * m * m, batch, 2 * from]);
        // (re, im) as a row times [[Re W, Im W], [−Im W, Re W]].
        let weight =
            Tensor::cat(vec![Tensor::cat(vec![re.clone(), im.clone()], 2), Tensor::cat(vec![im.neg(), re], 2)], 1);
        let z = z.matmul(product.operand(weight)).reshape([2 * m, m, batch, 2, to]).permute([2, 4, 1, 3, 0]);
        let z = z.reshape([batch * to * m, 4 * m]).matmul(self.x_back.clone());
        let z = z.reshape([batch, to, m, 2, n]).permute([0, 1, 4, 3, 2]);
        product.result(z.reshape([batch * to * n, 2 * m]).matmul(self.y_back.clone())).reshape([batch, to, n, n])
    }
}

/// Group norm of h (batch, channels, n, n) with one scale and shift per channel.
pub(super) fn group_norm(h: Tensor<4>, groups: usize, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<4> {
    let [batch, channels, n, m] = h.dims();
    let h = h.reshape([batch, groups, channels / groups * n * m]);
    let centred = h.clone() - h.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let h = centred / (variance + NORM_EPSILON).sqrt();
    let shape = [1, channels, 1, 1];
    h.reshape([batch, channels, n, m]) * weight.reshape(shape) + bias.reshape(shape)
}
