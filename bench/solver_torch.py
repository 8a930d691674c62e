"""PyTorch counterpart of `lacuna bench solver`: the stochastic 2-D vorticity equation as research scripts write it.

Same equation, scheme and numbers as `lacuna simulate`: Crank-Nicolson diffusion, forward Euler for everything else,
five real transforms a step, the Q-Wiener forcing as the sum of kappa full-grid complex Gaussian draws followed by one
inverse transform (the published recipe, arXiv 2506.20771). Eager mode, two threads by default, float32 like the
published generator. Prints one JSON object like the Rust side; `--out` writes the trajectory for a comparison.
"""

import argparse
import json
import math
import time

import torch


class Flow:
    """Planned constants of one batch of trajectories on the unit square."""

    def __init__(self, n, dtype, viscosity=1e-3, dt=1e-3, alpha=0.005, kappa=10, sigma=5e-5):
        self.n, self.dt, self.viscosity, self.kappa, self.sigma, self.dtype = n, dt, viscosity, kappa, sigma, dtype
        freq_x = torch.fft.fftfreq(n, 1.0 / n, dtype=dtype)[:, None]
        freq_y = torch.arange(n // 2 + 1, dtype=dtype)[None, :]
        tau = 2.0 * math.pi
        self.kx, self.ky = tau * freq_x, tau * freq_y
        self.k2 = self.kx**2 + self.ky**2
        self.k2_safe = self.k2.clone()
        self.k2_safe[0, 0] = 1.0
        self.mask = ((freq_x.abs() <= n / 3.0) & (freq_y.abs() <= n / 3.0)).to(dtype)
        full = torch.fft.fftfreq(n, 1.0 / n, dtype=dtype)
        k2_full = (tau**2) * (full[:, None] ** 2 + full[None, :] ** 2)
        self.root = torch.exp(-alpha * k2_full / 2.0) * n * n / math.sqrt(dt)
        x = torch.arange(n, dtype=dtype) / n
        phase = tau * (x[:, None] + x[None, :])
        self.force_hat = torch.fft.rfft2(0.1 * (torch.sin(phase) + torch.cos(phase)))

    def noise(self, batch, generator):
        """sigma dW/dt: kappa complex draws at every mode, summed, real part of the inverse transform."""
        shape = (batch, self.kappa, self.n, self.n)
        real = torch.randn(shape, dtype=self.dtype, generator=generator)
        imag = torch.randn(shape, dtype=self.dtype, generator=generator)
        coefficients = torch.complex(real, imag).sum(1)
        return self.sigma * torch.fft.ifft2(self.root * coefficients).real

    def step(self, w_hat, generator):
        psi_hat = w_hat / self.k2_safe
        u = torch.fft.irfft2(1j * self.ky * psi_hat, s=(self.n, self.n))
        v = torch.fft.irfft2(-1j * self.kx * psi_hat, s=(self.n, self.n))
        w_x = torch.fft.irfft2(1j * self.kx * w_hat, s=(self.n, self.n))
        w_y = torch.fft.irfft2(1j * self.ky * w_hat, s=(self.n, self.n))
        rhs = self.force_hat - self.mask * torch.fft.rfft2(u * w_x + v * w_y)
        if generator is not None:
            rhs = rhs + torch.fft.rfft2(self.noise(w_hat.shape[0], generator))
        half = 0.5 * self.dt * self.viscosity * self.k2
        return ((1.0 - half) * w_hat + self.dt * rhs) / (1.0 + half)


def smooth_field(n, batch, dtype):
    """A deterministic, band-limited start state of unit size."""
    x = torch.arange(n, dtype=torch.float64) / n
    field = torch.zeros(batch, n, n, dtype=torch.float64)
    for b in range(batch):
        for m in range(1, 6):
            phase = 2.0 * math.pi * (m * x[:, None] + ((m * (b + 2)) % 5 + 1) * x[None, :])
            field[b] += torch.cos(phase + m + b) / m
    return field.to(dtype)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-noise", action="store_true")
    parser.add_argument("--precision", choices=["f32", "f64"], default="f32")
    parser.add_argument("--init", help="HDF5 file with the start fields")
    parser.add_argument("--dataset", default="vorticity")
    parser.add_argument("--every", type=int, default=0, help="with --out: keep every K-th field")
    parser.add_argument("--out", help="HDF5 file for `vorticity` (batch, snapshots, n, n)")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    dtype = torch.float32 if args.precision == "f32" else torch.float64
    generator = None if args.no_noise else torch.Generator().manual_seed(0)
    if args.init:
        import h5py

        with h5py.File(args.init) as file:
            start = torch.as_tensor(file[args.dataset][...]).to(dtype)
        start = start[None] if start.ndim == 2 else start
    else:
        start = smooth_field(args.n, args.batch, dtype)
    flow = Flow(start.shape[-1], dtype)
    w_hat = torch.fft.rfft2(start)
    snapshots = [start]
    with torch.no_grad():
        if not args.out:
            for _ in range(args.warmup):
                flow.step(w_hat, generator)
        begin = time.perf_counter()
        for k in range(1, args.steps + 1):
            w_hat = flow.step(w_hat, generator)
            if args.out and args.every and k % args.every == 0:
                snapshots.append(torch.fft.irfft2(w_hat, s=start.shape[-2:]))
        seconds = time.perf_counter() - begin
    if args.out:
        import h5py

        with h5py.File(args.out, "w") as file:
            file["vorticity"] = torch.stack(snapshots, 1).numpy()
    batch = start.shape[0]
    print(
        json.dumps(
            {
                "implementation": f"PyTorch {torch.__version__} eager",
                "n": flow.n,
                "batch": batch,
                "steps": args.steps,
                "threads": args.threads,
                "noise": not args.no_noise,
                "precision": args.precision,
                "ms_per_step_per_trajectory": 1e3 * seconds / (args.steps * batch),
            }
        )
    )


if __name__ == "__main__":
    main()
