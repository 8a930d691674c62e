"""A learned closure in a solver of somebody else's: py-pde (finite differences) with the term that it lacks.

usage: py_pde.py CHECKPOINT START.npy OUT.npy SNAPSHOTS STRIDE EVERY [START_TIME]        (pip install py-pde)

The equation, its parameters, the draws and OUT are those of closed_loop.py; only the solver is another.
"""

import sys

import lacuna
import numpy as np
import pde

checkpoint, start, out = sys.argv[1:4]
snapshots, stride, every = map(int, sys.argv[4:7])
t0 = float(sys.argv[7]) if len(sys.argv) > 7 else 0.0
viscosity, forcing, dt, seed = 1e-3, 0.1, 1e-3, 20771


class Reduced(pde.PDEBase):
    """∂ω/∂t = ν∇²ω + f + H, H drawn every EVERY steps."""

    def __init__(self):
        super().__init__()
        self.closure = lacuna.Closure(checkpoint)
        self.closure.seed(seed, "rollout/0")
        phase = 2 * np.pi * np.add.outer(*2 * [np.arange(self.closure.n) / self.closure.n])
        self.f, self.h = forcing * (np.sin(phase) + np.cos(phase)), 0.0

    def evolution_rate(self, state, t=0.0):
        if round((t - t0) / dt) % every == 0:
            mean = self.closure.mean(state.data, t)
            self.h = mean + self.closure.fluctuation(state.data, mean, t) / np.sqrt(every)
        return viscosity * state.laplace("periodic") + pde.ScalarField(state.grid, self.f + self.h)


equation, w = Reduced(), np.load(start)
state, kept = pde.ScalarField(pde.CartesianGrid([[0, 1], [0, 1]], w.shape, periodic=True), w), []
for snapshot in range(snapshots):
    times = t0 + dt * stride * snapshot, t0 + dt * stride * (snapshot + 1)
    state = equation.solve(state, t_range=times, dt=dt, solver="euler", backend="numpy", adaptive=False, tracker=None)
    kept.append(state.data)
np.save(out, kept)
