"""What a kernel takes over from the crate's build, and how it calls cargo (no kernel needed)."""

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
        environment = os.environ | {"LACUNA_CARGO": "echo"}
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


if __name__ == "__main__":
    unittest.main()
