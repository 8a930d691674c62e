"""A learned closure in a solver of somebody else's: twenty lines of NumPy that do what `lacuna rollout` does.

usage: closed_loop.py CHECKPOINT START.npy OUT.npy SNAPSHOTS STRIDE EVERY [START_TIME]

One member of preset smoke or desk: Crank-Nicolson for viscosity, Euler for the rest, a draw every EVERY steps whose mean is held
and whose fluctuation is scaled by 1/sqrt(EVERY). OUT holds the vorticity after each STRIDE steps.
"""

import sys

import lacuna
import numpy as np

checkpoint, start, out = sys.argv[1:4]
snapshots, stride, every = map(int, sys.argv[4:7])
t0 = float(sys.argv[7]) if len(sys.argv) > 7 else 0.0
viscosity, forcing, dt, seed = 1e-3, 0.1, 1e-3, 20771

closure = lacuna.Closure(checkpoint)
closure.seed(seed, "rollout/0")
w = np.load(start)
n = closure.n
x = np.arange(n) / n
phase = 2 * np.pi * (x[:, None] + x[None, :])
f = np.fft.rfft2(forcing * (np.sin(phase) + np.cos(phase)))
k = 2 * np.pi * np.fft.fftfreq(n, 1 / n)
rate = 0.5 * dt * viscosity * (k[:, None] ** 2 + np.abs(k[None, : n // 2 + 1]) ** 2)
hat, kept = np.fft.rfft2(w), []
for step in range(snapshots * stride):
    if step % every == 0:
        w, t = np.fft.irfft2(hat, s=(n, n)), t0 + step * dt
        mean = closure.mean(w, t)
        h = mean + closure.fluctuation(w, mean, t) / np.sqrt(every)
    hat = ((1 - rate) * hat + dt * (np.fft.rfft2(h) + f)) / (1 + rate)
    if (step + 1) % stride == 0:
        kept.append(np.fft.irfft2(hat, s=(n, n)))
np.save(out, kept)
