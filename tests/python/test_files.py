"""Files of the program as Python reads them: xarray with named dimensions and coordinates, safetensors by its format."""

import json
import os
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("LACUNA_BIN", ROOT / "target/release/lacuna"))
N = 16
# Preset smoke on N x N points, cut to seconds.
SMALL = [
    f"flow.n={N}", f"data.n={N}", "rollout.duration=0.02", "rollout.snapshots=2", "rollout.members=3", "rollout.references=2",
    "models.spectral.latent.n=12", "models.spectral.network.modes=4", "models.p-cdm.network.modes=4",
    "models.joint.latent.n=8", "models.joint.network.modes=4", "models.two-phase.latent.n=8", "models.two-phase.network.modes=4",
]
GRID = np.arange(N) / N


def field(k):
    x, y = np.meshgrid(GRID, GRID, indexing="ij")
    return np.sin(2 * np.pi * (x + k * y)) + np.cos(2 * np.pi * y)


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        with h5py.File(cls.folder / "mine.h5", "w") as file:
            file["w"] = np.stack([field(k) for k in range(1, 4)])
            for split, count in (("train", 6), ("test", 4)):
                w = np.stack([field(k) for k in range(count)]).astype("f4")
                file[f"{split}_vorticity_{N}"], file[f"{split}_nonlinear_{N}"] = w, 0.1 * w
            file["t"] = [20.0, 20.5]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def lacuna(self, *arguments):
        command = [PROGRAM, *[str(argument) for argument in arguments]]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def experiment(self, command, *arguments):
        settings = [word for setting in SMALL for word in ("--set", setting)]
        return self.lacuna(command, "--preset", "smoke", "--out", "store", *settings, *arguments)

    def open(self, path, *variables):
        data = xr.open_dataset(self.folder / path, engine="h5netcdf")
        self.addCleanup(data.close)
        self.assertTrue(data.attrs["Conventions"].startswith("CF-"))
        # Axes without a name get one that begins so.
        self.assertFalse([axis for axis in data.sizes if str(axis).startswith("phony")])
        for name in variables:
            self.assertIn("long_name", data[name].attrs)
            self.assertEqual(data[name].attrs["units"], "1")
        return data

    def stored(self, kind, file):
        found = [path / file for path in (self.folder / "store").glob(f"{kind}-*") if (path / file).is_file()]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_a_simulation_has_members_times_and_places(self):
        self.lacuna("simulate", "--init", "mine.h5", "--dataset", "w", "--fields", "1..3", "--steps", 4, "--every", 2,
                    "--start-time", 5, "--out", "run.h5")
        data = self.open("run.h5", "vorticity")
        self.assertEqual(data.vorticity.dims, ("member", "t", "x", "y"))
        np.testing.assert_allclose(data.t, [5, 5.002, 5.004])
        np.testing.assert_array_equal(data.member, [1, 2])
        np.testing.assert_array_equal(data.x, GRID)
        np.testing.assert_array_equal(data.vorticity.sel(member=2).isel(t=0), field(3))

    def test_pairs_an_ensemble_and_its_truth_have_named_axes(self):
        self.experiment("data", "--from", "mine.h5")
        data = self.open(self.stored("data", "train.h5"), f"train_vorticity_{N}", f"train_nonlinear_{N}")
        self.assertEqual(data[f"train_vorticity_{N}"].dims, ("sample", "x", "y"))
        np.testing.assert_array_equal(data.t, [20, 20.5])
        self.experiment("rollout", "--closure", "none", "--init", "mine.h5", "--dataset", "w", "--field", 2)
        ensemble = self.open(self.stored("rollout", "ensemble.h5"), "vorticity", "failed_at")
        self.assertEqual(ensemble.vorticity.dims, ("t", "member", "x", "y"))
        self.assertEqual(ensemble.failed_at.dims, ("member",))
        self.assertEqual(ensemble.vorticity.std("member").mean(("x", "y")).dims, ("t",))
        truth = self.open(self.stored("reference", "reference.h5"), "vorticity", "start")
        self.assertEqual(truth.vorticity.dims, ("t", "realisation", "x", "y"))
        np.testing.assert_array_equal(truth.start, field(3))
        np.testing.assert_array_equal(truth.t, ensemble.t)

    def test_draws_have_conditions_and_exported_weights_have_names(self):
        self.lacuna("import", "--pytorch", ROOT / "tests/fixtures/pytorch/score.pth", "--kind", "score", "--n", N,
                    "--out", "score.lacuna")
        self.lacuna("sample", "--checkpoint", "score.lacuna", "--condition", "mine.h5", "--dataset", "w", "--fields", "1..3",
                    "--draws", 2, "--steps", 2, "--out", "h.h5")
        draws = self.open("h.h5", "h")
        self.assertEqual(draws.h.dims, ("condition", "draw", "x", "y"))
        np.testing.assert_array_equal(draws.condition, [1, 2])
        self.assertTrue(np.isfinite(draws.h).all())
        self.experiment("export", "--model", "score.lacuna", "--to", "card")
        content = (self.folder / "card/model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8:8 + length])
        self.assertEqual(header.pop("__metadata__")["format"], "pt")
        self.assertEqual(header["score.fc0.weight"]["dtype"], "F32")
        self.assertEqual(max(tensor["data_offsets"][1] for tensor in header.values()), len(content) - 8 - length)
        self.assertEqual(json.loads((self.folder / "card/config.json").read_text())["n"], N)


if __name__ == "__main__":
    unittest.main()
