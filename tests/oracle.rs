//! Naive f64 networks: direct Fourier sums and direct convolutions, the reference of every interpreter.

use lacuna::SeedTree;
use lacuna::config::Variant;
use lacuna::nets::{Fno, Init, Network};
use num_complex::Complex64;
use rand_distr::{Distribution, StandardNormal};

/// A reproducible field of n × n standard normal values.
pub fn field(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = SeedTree::new(seed).child("field").stream();
    (0..n * n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Weights with nothing left at its initial constant: every path contributes.
pub fn randomised(network: &Network, seed: u64) -> Vec<f32> {
    let mut weights = network.init(&mut SeedTree::new(seed).child("init").stream());
    let mut rng = SeedTree::new(seed).child("shift").stream();
    let mut at = 0;
    for param in network.params() {
        for value in &mut weights[at..at + param.len()] {
            let normal: f32 = StandardNormal.sample(&mut rng);
            // Products of many layers: far from the initial scale they would overflow.
            *value += normal
                * match param.init {
                    Init::Constant(_) => 0.1,
                    Init::Uniform(low, high) => 0.1 * (high - low),
                    Init::Normal(std) => 0.1 * std,
                    Init::Fixed(_) => 0.0,
                };
        }
        at += param.len();
    }
    weights
}

/// Largest difference over the largest value.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    difference / b.iter().fold(0.0, |m, b| b.abs().max(m))
}

/// Channels of fields in f64.
type Channels = Vec<Vec<f64>>;

/// A network with its weights, evaluated naively.
pub struct Naive<'a> {
    pub desc: &'a Fno,
    pub weights: &'a [f32],
    pub n: usize,
}

impl Naive<'_> {
    fn get(&self, name: &str) -> Vec<f64> {
        let mut at = 0;
        for param in Network::Fno(self.desc.clone()).params() {
            if param.name == name {
                return self.weights[at..at + param.len()].iter().map(|&v| f64::from(v)).collect();
            }
            at += param.len();
        }
        panic!("no parameter {name}");
    }

    pub fn eval(&self, x: Option<(&[f32], f32)>, w: &[f32]) -> Vec<f32> {
        let out = match self.desc.variant {
            Variant::Gated | Variant::Switching => self.gated(x, w),
            Variant::Paper | Variant::Predecessor => self.paper(x, w),
        };
        out[0].iter().map(|&v| v as f32).collect()
    }

    /// Fourier modes by the definition; weight(k_x row, k_y, from, to).
    fn spectral(&self, h: &Channels, weight: impl Fn(usize, usize, usize, usize) -> Complex64) -> Channels {
        let (n, m) = (self.n, self.desc.modes);
        let turn =
            |k: i64, j: usize| Complex64::from_polar(1.0, std::f64::consts::TAU * (k * j as i64) as f64 / n as f64);
        let mut out = vec![vec![0.0; n * n]; h.len()];
        for row in 0..2 * m {
            let kx = if row < m { row as i64 } else { row as i64 - 2 * m as i64 };
            for ky in 0..m {
                let modes: Vec<Complex64> = h
                    .iter()
                    .map(|h| {
                        let terms = (0..n * n).map(|p| (turn(kx, p / n) * turn(ky as i64, p % n)).conj() * h[p]);
                        terms.sum::<Complex64>() / (n * n) as f64
                    })
                    .collect();
                for (to, out) in out.iter_mut().enumerate() {
                    let z: Complex64 = modes.iter().enumerate().map(|(from, z)| z * weight(row, ky, from, to)).sum();
                    let twice = if ky == 0 { 1.0 } else { 2.0 };
                    for (p, out) in out.iter_mut().enumerate() {
                        *out += twice * (z * turn(kx, p / n) * turn(ky as i64, p % n)).re;
                    }
                }
            }
        }
        out
    }

    fn gated_spectral(&self, name: &str, h: &Channels) -> Channels {
        let (c, m) = (self.desc.width, self.desc.modes);
        let (re, im) = (self.get(&format!("{name}.spectral.re")), self.get(&format!("{name}.spectral.im")));
        self.spectral(h, |row, ky, from, to| {
            let at = ((row * m + ky) * c + from) * c + to;
            Complex64::new(re[at], im[at])
        })
    }

    fn gate(&self, name: &str, h: &Channels, ab: &Channels) -> Channels {
        let c = self.desc.width;
        let (bias_a, bias_b) = (self.get(&format!("{name}.gate.bias_a")), self.get(&format!("{name}.gate.bias_b")));
        let saturate = |b: f64| if self.desc.variant == Variant::Switching { b.tanh() } else { b };
        let product: Channels = (0..c)
            .map(|k| ab[k].iter().zip(&ab[c + k]).map(|(a, b)| (a + bias_a[k]) * saturate(b + bias_b[k])).collect())
            .collect();
        add(h, &self.dense(&format!("{name}.out"), &product))
    }

    fn dense(&self, name: &str, h: &Channels) -> Channels {
        let bias = self.get(&format!("{name}.bias"));
        let mut out = linear(&self.get(&format!("{name}.weight")), h);
        for (out, bias) in out.iter_mut().zip(bias) {
            out.iter_mut().for_each(|v| *v += bias);
        }
        out
    }

    fn periodic(&self, kernel: &[f64], h: &Channels) -> Channels {
        let (n, from) = (self.n, h.len());
        let to = kernel.len() / from / 9;
        let value = |o: usize, p: usize| {
            let mut sum = 0.0;
            for (f, h) in h.iter().enumerate() {
                for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
                    let (x, y) = ((p / n + n + i - 1) % n, (p % n + n + j - 1) % n);
                    sum += kernel[(o * from + f) * 9 + 3 * i + j] * h[x * n + y];
                }
            }
            sum
        };
        (0..to).map(|o| (0..n * n).map(|p| value(o, p)).collect()).collect()
    }

    /// Products of 1, cos 2πkx, sin 2πkx (k = 1 … 4) along x and y at point `p`, without the constant.
    fn place(&self, p: usize) -> Vec<f64> {
        let along = |i: usize| -> Vec<f64> {
            let turn = std::f64::consts::TAU * i as f64 / self.n as f64;
            let waves = (1..=4).flat_map(|k| [(turn * f64::from(k)).cos(), (turn * f64::from(k)).sin()]);
            std::iter::once(1.0).chain(waves).collect()
        };
        let (x, y) = (along(p / self.n), along(p % self.n));
        x.iter().flat_map(|x| y.iter().map(move |y| x * y)).skip(1).collect()
    }

    fn gated(&self, x: Option<(&[f32], f32)>, w: &[f32]) -> Channels {
        let c = self.desc.width;
        let (scale, shift) = (self.get("lift_w.weight"), self.get("lift_w.bias"));
        let mut h: Channels = (0..c).map(|k| w.iter().map(|&w| scale[k] * f64::from(w) + shift[k]).collect()).collect();
        if self.desc.variant == Variant::Switching {
            let weight = self.get("places.weight");
            for (k, h) in h.iter_mut().enumerate() {
                for (p, h) in h.iter_mut().enumerate() {
                    *h += self.place(p).iter().enumerate().map(|(f, place)| weight[f * c + k] * place).sum::<f64>();
                }
            }
        }
        for i in 0..self.desc.layers {
            let r = add(&h, &self.gated_spectral(&format!("w{i}"), &h));
            h = self.gate(&format!("w{i}"), &h, &self.periodic(&self.get(&format!("w{i}.gate.weight")), &r));
        }
        if let Some((x, level)) = x {
            let features =
                waves(f64::from(level), &self.desc.frequencies().iter().map(|&f| f64::from(f)).collect::<Vec<_>>());
            let hidden = self.dense("embed.0", &features).iter().map(|v| vec![silu(v[0])]).collect();
            let modulation = self.dense("embed.1", &hidden);
            let modulate = |h: &Channels, i: usize| -> Channels {
                let part = |at: usize, k: usize| modulation[at * c + k][0];
                let channel = |(k, h): (usize, &Vec<f64>)| {
                    h.iter().map(|h| (1.0 + part(2 * i, k)) * h + part(2 * i + 1, k)).collect()
                };
                h.iter().enumerate().map(channel).collect()
            };
            let lift = self.get("lift_x.weight");
            let lifted: Channels = lift.iter().map(|s| x.iter().map(|&x| s * f64::from(x)).collect()).collect();
            h = add(&h, &lifted);
            for i in 0..self.desc.layers_x {
                let q = modulate(&h, i);
                let r = add(&q, &self.gated_spectral(&format!("x{i}"), &q));
                h = self.gate(&format!("x{i}"), &h, &linear(&self.get(&format!("x{i}.gate.weight")), &r));
            }
            h = modulate(&h, self.desc.layers_x);
        }
        self.dense("head", &h)
    }

    fn lift(&self, name: &str, field: &[f32]) -> Channels {
        let n = self.n;
        let at = |i: usize| i as f64 / (n - 1) as f64;
        let field = field.iter().map(|&v| f64::from(v)).collect();
        let coordinate = |f: &dyn Fn(usize) -> usize| (0..n * n).map(|p| at(f(p))).collect();
        self.dense(name, &vec![field, coordinate(&|p| p / n), coordinate(&|p| p % n)])
    }

    fn branch(&self, letter: &str, mut h: Channels, time: Option<&Channels>) -> Channels {
        let (c, m) = (self.desc.width, self.desc.modes);
        for i in 0..self.desc.layers {
            let blocks = [1, 2].map(|k| self.get(&format!("conv{i}_{letter}.weights{k}")));
            let spectral = self.spectral(&h, |row, ky, from, to| {
                let at = 2 * (((from * c + to) * m + row % m) * m + ky);
                Complex64::new(blocks[row / m][at], blocks[row / m][at + 1])
            });
            let mut out = add(&spectral, &self.dense(&format!("w{i}_{letter}"), &h));
            for (k, out) in out.iter_mut().enumerate() {
                out.iter_mut().for_each(|v| *v += time.map_or(0.0, |time| time[k][0]));
            }
            h = if i + 1 < self.desc.layers { map(&out, gelu) } else { out };
        }
        h
    }

    fn paper(&self, x: Option<(&[f32], f32)>, w: &[f32]) -> Channels {
        let condition = self.branch("w", self.lift("fc0_w", w), None);
        let h = match x {
            None => condition,
            Some((x, tau)) => {
                let hidden = self.dense("embed.1", &waves(f64::from(tau), &self.get("embed.0.W")));
                let time = self.dense("dense0.dense", &map(&hidden, silu));
                let mut h = self.branch("x", self.lift("fc0", x), Some(&time));
                h.extend(condition);
                let h = map(&self.dense("transformation_net.0", &h), gelu);
                let h = map(&self.dense("transformation_net.2", &h), gelu);
                match self.desc.variant {
                    Variant::Predecessor => map(&self.dense("transformation_net.4", &h), gelu),
                    _ => h,
                }
            }
        };
        self.dense("fc2", &map(&self.dense("fc1", &h), gelu))
    }
}

fn add(a: &Channels, b: &Channels) -> Channels {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

fn map(h: &Channels, f: fn(f64) -> f64) -> Channels {
    h.iter().map(|h| h.iter().map(|&v| f(v)).collect()).collect()
}

fn linear(weight: &[f64], h: &Channels) -> Channels {
    let value = |row: &[f64], p: usize| row.iter().zip(h).map(|(w, h)| w * h[p]).sum::<f64>();
    weight.chunks(h.len()).map(|row| (0..h[0].len()).map(|p| value(row, p)).collect()).collect()
}

fn waves(level: f64, frequencies: &[f64]) -> Channels {
    // The phase in f32, as the networks take it: 2πWτ reaches hundreds of turns.
    let phase = |f: &f64| f64::from(level as f32 * *f as f32 * std::f32::consts::TAU);
    frequencies.iter().map(|f| vec![phase(f).sin()]).chain(frequencies.iter().map(|f| vec![phase(f).cos()])).collect()
}

fn silu(v: f64) -> f64 {
    v / (1.0 + (-v).exp())
}

/// Exact GELU with erf by its series and, beyond |x| = 3, its continued fraction.
fn gelu(v: f64) -> f64 {
    0.5 * v * (1.0 + erf(v / std::f64::consts::SQRT_2))
}

pub fn erf(x: f64) -> f64 {
    let square = x * x;
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for k in 1..80 {
            term *= -square / f64::from(k);
            sum += term / f64::from(2 * k + 1);
        }
        return std::f64::consts::FRAC_2_SQRT_PI * sum;
    }
    let tail = (1..60).rev().fold(x.abs(), |tail, k| x.abs() + 0.5 * f64::from(k) / tail);
    (1.0 - (-square).exp() / (std::f64::consts::PI.sqrt() * tail)).copysign(x)
}
