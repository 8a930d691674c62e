"""What a kernel takes over from the crate's build, and how it calls cargo (no kernel needed)."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import kernel  # noqa: E402


class TakeOver(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root, self.slot = Path(folder.name) / "crate", Path(folder.name) / "slot"
        self.addCleanup(setattr, kernel, "ROOT", kernel.ROOT)
        kernel.ROOT = self.root
        self.slot.mkdir()
        self.release = self.slot / "target" / "release"

    def made(self, *names):
        for name in names:
            path = self.root / "target" / "release" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def taken(self):
        return {str(path.relative_to(self.release)) for path in self.release.rglob("*") if path.is_file()}

    def test_dependencies_are_taken_and_the_crates_own_products_are_not(self):
        wanted = {
            ".fingerprint/serde-1/lib-serde",
            "build/serde-1/output",
            "deps/libserde-1.rlib",
            "deps/libserde-1.rmeta",
            "deps/libserde_derive-1.so",
            "deps/serde-1.d",
        }
        wanted |= {".fingerprint/lacuna-core-1/lib-lacuna_core", "deps/liblacuna_core-1.rlib"}
        self.made(*wanted, ".fingerprint/lacuna-1/lib-lacuna", "deps/liblacuna-1.rlib", "deps/integration-1", "lacuna")
        kernel.take_over(self.slot)
        self.assertEqual(self.taken(), wanted)

    def test_what_the_kernel_has_stays_and_times_are_kept(self):
        self.made("deps/liba-1.rlib", "deps/a-1.d")
        source = self.root / "target" / "release" / "deps" / "a-1.d"
        os.utime(source, ns=(1_000_000_001, 1_000_000_001))
        own = self.release / "deps" / "liba-1.rlib"
        own.parent.mkdir(parents=True)
        own.write_text("the kernel's own")
        kernel.take_over(self.slot)
        self.assertEqual(own.read_text(), "the kernel's own")
        self.assertEqual((self.release / "deps" / "a-1.d").stat().st_mtime_ns, 1_000_000_001)

    def test_without_a_build_nothing_is_taken(self):
        kernel.take_over(self.slot)
        self.assertFalse(self.release.exists())


class Cargo(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.slot = Path(folder.name)

    def call(self, *arguments):
        """What the real cargo is called with."""
        environment = os.environ | {"LACUNA_CARGO": "echo", "LACUNA_CARGO_HOME": "/real"}
        command = [ROOT / "scripts" / "kernel" / "cargo", *arguments]
        done = subprocess.run(command, env=environment, cwd=self.slot, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def test_cells_are_built_as_the_crate_is(self):
        for first in ([], ["--offline"]):
            called = self.call(*first, "build", "--target", "x", "--message-format=json")
            self.assertEqual(called[:4], ["rustc", "--release", "--message-format=json", "--"])
            self.assertIn("prefer-dynamic", called)

    def test_the_cells_library_is_also_where_older_kernels_look_for_it(self):
        library = self.slot / "target" / "release" / "deps" / "libctx.so"
        library.parent.mkdir(parents=True)
        library.write_text("new")
        expected = self.slot / "target" / "x" / "debug" / "deps" / "libctx.so"
        expected.parent.mkdir(parents=True)
        expected.write_text("of a build before")
        for _ in range(2):
            self.call("build", "--target", "x", "--message-format=json")
            self.assertEqual(expected.read_text(), "new")

    def test_all_else_is_passed_on(self):
        self.assertEqual(self.call("metadata", "--format-version=1"), ["metadata", "--format-version=1"])


class Home(unittest.TestCase):
    def test_the_analyser_finds_its_cargo_and_all_else_of_the_real_home(self):
        with tempfile.TemporaryDirectory() as folder:
            slot, real = Path(folder) / "slot", Path(folder) / "real"
            for name in ("bin/cargo", "bin/rustc", "registry/index", "config.toml"):
                (real / name).parent.mkdir(parents=True, exist_ok=True)
                (real / name).write_text(name)
            for _ in range(2):
                home = kernel.analyser_home(slot, real)
                self.assertEqual((home / "bin" / "cargo").resolve(), ROOT / "scripts" / "kernel" / "analyser")
                for name in ("bin/rustc", "registry/index", "config.toml"):
                    self.assertEqual((home / name).read_text(), name)
            # A machine whose cargo never had a home.
            self.assertTrue((kernel.analyser_home(slot, Path(folder) / "none") / "bin" / "cargo").exists())


class Analyser(unittest.TestCase):
    """The list of packages that the analyser inside the kernel reads."""

    def metadata(self, needs, features=()):
        """A list in which `ctx` needs the crates `needs`, and others need each other as below."""
        edges = {
            "ctx": list(needs),
            "lacuna": ["lacuna-core", "ndarray", "polars", "burn"],
            "lacuna-core": ["ndarray", "rustfft", "serde"],
            "ndarray": ["num-traits"],
            "polars": ["serde"],
            "rand": ["rand_core", "serde"],
            "burn": [], "num-traits": [], "rustfft": ["num-traits"], "serde": [], "rand_core": [],
        }  # fmt: skip
        packages = [{"name": name, "id": f"{name} 1", "dependencies": [{"name": to} for to in edges[name]]} for name in edges]
        nodes = [
            {
                "id": f"{name} 1",
                "features": list(features) if name == "lacuna" else [],
                "deps": [{"pkg": f"{to} 1"} for to in edges[name]],
                "dependencies": [f"{to} 1" for to in edges[name]],
            }
            for name in edges
        ]
        return {"packages": packages, "workspace_members": ["ctx 1"], "resolve": {"nodes": nodes, "root": "ctx 1"}}

    def seen(self, metadata, environment=()):
        """What kernel/analyser makes of a list, as the analyser would call it."""
        with tempfile.TemporaryDirectory() as folder:
            cargo = Path(folder) / "cargo"
            (Path(folder) / "list").write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))
            cargo.write_text(f"#!/bin/sh\n[ \"$CARGO_HOME\" = /real ] && cat '{folder}/list'\n")
            cargo.chmod(0o755)
            command = [ROOT / "scripts" / "kernel" / "analyser", "metadata", "--format-version", "1"]
            environment = os.environ | {"LACUNA_CARGO": str(cargo), "LACUNA_CARGO_HOME": "/real"}
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def names(self, metadata):
        left = json.loads(self.seen(metadata))
        packages = {package["name"] for package in left["packages"]}
        for package in left["packages"]:
            self.assertLessEqual({one["name"] for one in package["dependencies"]}, packages)
        ids = {node["id"] for node in left["resolve"]["nodes"]}
        self.assertEqual(ids, {f"{name} 1" for name in packages})
        for node in left["resolve"]["nodes"]:
            self.assertLessEqual({one["pkg"] for one in node["deps"]} | set(node["dependencies"]), ids)
        return packages

    def test_what_only_the_library_needs_is_left_out(self):
        self.assertEqual(self.names(self.metadata(["lacuna"])), {"ctx", "lacuna", "lacuna-core", "ndarray"})

    def test_what_a_notebook_asks_for_stays_with_all_that_it_needs(self):
        seen = self.names(self.metadata(["lacuna", "rand"]))
        self.assertEqual(seen, {"ctx", "lacuna", "lacuna-core", "ndarray", "rand", "rand_core", "serde"})

    def test_a_list_without_the_library_or_of_another_form_is_passed_on(self):
        for metadata in (self.metadata(["rand"]), self.metadata(["lacuna"], ["learn"])):
            if "lacuna" not in {one["pkg"].split()[0] for one in metadata["resolve"]["nodes"][0]["deps"]}:
                metadata["packages"] = [one for one in metadata["packages"] if not one["name"].startswith("lacuna")]
            self.assertEqual(json.loads(self.seen(metadata)), metadata)
        for text in ("{}", "no JSON", '{"packages": 3}'):
            self.assertEqual(self.seen(text), text)


if __name__ == "__main__":
    unittest.main()
