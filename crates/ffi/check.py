"""The loops in Python and Fortran against the ensemble that `lacuna rollout` made: the same member, to round-off of f32.

usage: check.py DATA_FOLDER MODEL LIBRARY [FORTRAN_PROGRAM]        (needs numpy and h5py; make ffi)
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
# Ensembles are stored in f32; transforms of other libraries differ in the last digits of f64, which the flow carries on.
TOLERANCE = 1e-6


def result(data, kind, **wanted):
    """The folder and the settings of the finished result of that kind whose record holds what is wanted."""
    for path in sorted(data.glob(f"{kind}-*/artifact.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if all({**record["settings"], "hash": record["hash"]}.get(key) == value for key, value in wanted.items()):
            return path.parent, record["settings"]
    sys.exit(f"no {kind} with {wanted} in {data}")


def main():
    data, model, library = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).resolve()
    train, _ = result(data, "train", name=model)
    rollout, settings = result(data, "rollout", closure=model, hold="rescaled")
    reference, flow = result(data, "reference", hash=settings["reference"])
    with h5py.File(reference / "reference.h5") as file:
        start = file["start"][...]
    with h5py.File(rollout / "ensemble.h5") as file:
        wanted = next(file[name] for name in file if file[name].ndim == 4)[1:, 0]
    snapshots = flow["snapshots"]
    stride = round(flow["duration"] / snapshots / flow["flow"]["dt"])
    numbers = [str(number) for number in (snapshots, stride, settings["every"], flow["start"])]
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/start.npy", start)
        start.astype("f8").tofile(f"{folder}/start.bin")
        checkpoint = str(train / "checkpoint.lacuna")
        package = str(ROOT / "crates" / "ffi" / "python")
        environment = os.environ | {"LACUNA_LIBRARY": str(library), "PYTHONPATH": package}
        loops = {"python": [sys.executable, ROOT / "examples/python/closed_loop.py", checkpoint, f"{folder}/start.npy", f"{folder}/out.npy"]}
        if len(sys.argv) > 4:
            loops["fortran"] = [Path(sys.argv[4]).resolve(), checkpoint, f"{folder}/start.bin", f"{folder}/out.bin"]
        for language, command in loops.items():
            subprocess.run([*command, *numbers], env=environment, check=True)
            made = np.load(f"{folder}/out.npy") if language == "python" else np.fromfile(f"{folder}/out.bin").reshape(wanted.shape)
            error = np.abs(made - wanted).max() / np.sqrt((wanted**2).mean())
            print(f"{language}: {snapshots * stride} steps with `{model}`, largest difference {error:.1e} of rms vorticity")
            if not error < TOLERANCE:
                sys.exit(f"{language}: more than {TOLERANCE}")


if __name__ == "__main__":
    main()
