"""The installed module, and loops in Python and Fortran against the ensemble that `lacuna rollout` made.

usage: check.py ROLLOUT_FOLDER [FORTRAN_PROGRAM]        (in an environment with the wheel and h5py; make ffi)
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import lacuna
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
# The same scheme: ensembles are stored in f32, and transforms of other libraries differ in the last digits of f64.
SAME_SCHEME = 1e-6
# Finite differences of second order: the closure answers them as it does the spectral scheme, not to the digit.
OTHER_SCHEME = 0.01


def record(folder):
    """What a finished result says of itself."""
    return json.loads((folder / "artifact.json").read_text(encoding="utf-8"))


def main():
    rollout = Path(sys.argv[1])
    made_of = record(rollout)
    settings, model = made_of["settings"], made_of["label"]
    # Of the results that it was made from, one of either kind.
    train, reference = (
        next(rollout.parent / parent for parent in made_of["parents"] if parent.startswith(f"{kind}-")) for kind in ("train", "reference")
    )
    flow = record(reference)["settings"]
    with h5py.File(reference / "reference.h5") as file:
        start = file["start"][...]
    with h5py.File(rollout / "ensemble.h5") as file:
        wanted = next(file[name] for name in file if file[name].ndim == 4)[1:, 0]
    checkpoint = str(train / "checkpoint.lacuna")
    print(f"lacuna {lacuna.version()} of {Path(lacuna.__file__).parent}", flush=True)
    tests = [sys.executable, str(ROOT / "crates/ffi/python/tests/test_lacuna.py")]
    subprocess.run(tests, env={**os.environ, "LACUNA_CHECKPOINT": checkpoint}, check=True)
    snapshots = flow["snapshots"]
    stride = round(flow["duration"] / snapshots / flow["flow"]["dt"])
    numbers = [str(number) for number in (snapshots, stride, settings["every"], flow["start"])]
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/start.npy", start)
        start.astype("f8").tofile(f"{folder}/start.bin")
        ways = {"NumPy": ([sys.executable, ROOT / "examples/python/closed_loop.py"], "npy", SAME_SCHEME)}
        if importlib.util.find_spec("pde"):
            ways["py-pde"] = ([sys.executable, ROOT / "examples/python/py_pde.py"], "npy", OTHER_SCHEME)
        else:
            print("py-pde is not installed: its loop is left out")
        if len(sys.argv) > 2:
            ways["Fortran"] = ([Path(sys.argv[2]).resolve()], "bin", SAME_SCHEME)
        for name, (command, kind, most) in ways.items():
            out = f"{folder}/out.{kind}"
            subprocess.run([*command, checkpoint, f"{folder}/start.{kind}", out, *numbers], check=True)
            made = np.load(out) if kind == "npy" else np.fromfile(out).reshape(wanted.shape)
            error = np.abs(made - wanted).max() / np.sqrt((wanted**2).mean())
            print(f"{name}: {snapshots * stride} steps with `{model}`, largest difference {error:.1e} of rms vorticity", flush=True)
            if not error < most:
                sys.exit(f"{name}: more than {most}")


if __name__ == "__main__":
    main()
