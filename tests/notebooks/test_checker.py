"""The checker must reject notebooks that fail in the ways Rust notebooks fail. Each is run for real, in a real kernel.

They use no crate, so a kernel is ready in seconds. Run with: make check-notebooks
"""

import hashlib
import json
import sys
import tempfile
import unittest
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import notebooks  # noqa: E402

DONE = f'println!("{notebooks.SENTINEL}");'
# The first cell of a cold kernel compiles the runtime crate as well.
TIMEOUT = 300


def notebook(*cells, outputs=()):
    built = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    built.metadata["lacuna"] = {"outputs": list(outputs)}
    return built


class Helpers:
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.figures = Path(folder.name)

    def write_output(self, name, content, recorded=None):
        (self.figures / name).write_bytes(content)
        digest = hashlib.sha256(content if recorded is None else recorded).hexdigest()
        with open(self.figures / "manifest.jsonl", "a", encoding="utf-8") as manifest:
            manifest.write(json.dumps({"file": name, "sha256": digest}) + "\n")

    def problems(self, built):
        """As scripts/notebooks.py judges: what execution met, else what the check found."""
        return notebooks.execute(built, timeout=TIMEOUT, verbose=False) or notebooks.check(built, self.figures)

    def assert_rejected(self, problems, because):
        self.assertTrue(problems, "a broken notebook was accepted")
        self.assertIn(because, " ".join(problems))


class KernelTest(Helpers, unittest.TestCase):
    """Notebooks executed in a kernel."""

    def test_good_notebook_is_accepted(self):
        self.write_output("curve.svg", b"<svg/>")
        built = notebook("let x = 40;", 'println!("{}", x + 2);', DONE, outputs=["curve.svg"])
        self.assertEqual(self.problems(built), [])

    def test_panic_fails(self):
        built = notebook("let x: Vec<u8> = vec![];", "let y = x[3];", DONE)
        self.assert_rejected(self.problems(built), "index out of bounds")
        self.assertEqual(built.cells[2].outputs, [], "cells after the panic ran")

    def test_error_through_question_mark_fails(self):
        built = notebook("use std::fs;", 'let text = fs::read_to_string("no such file")?;', DONE)
        self.assert_rejected(self.problems(built), "No such file")
        self.assertEqual(built.cells[2].outputs, [], "cells after the error ran")

    def test_compile_error_fails(self):
        self.assert_rejected(self.problems(notebook("let x: u8 = -1.5;", DONE)), "a cell failed")

    def test_stderr_fails(self):
        self.assert_rejected(self.problems(notebook('eprintln!("something is wrong");', DONE)), "something is wrong")

    def test_missing_last_cell_fails(self):
        self.assert_rejected(self.problems(notebook("let x = 1;")), notebooks.SENTINEL)

    def test_sentinel_before_the_end_fails(self):
        self.assert_rejected(self.problems(notebook(DONE, "let x = 1;")), notebooks.SENTINEL)

    def test_too_slow_cell_fails(self):
        built = notebook("let x = 1;", "loop { std::thread::sleep(std::time::Duration::from_millis(50)); }", DONE)
        problems = notebooks.execute(built, timeout=20, verbose=False)
        self.assert_rejected(problems, "ran longer than 20 s")


class OutputTest(Helpers, unittest.TestCase):
    """What the check says about declared outputs, on a notebook that ran well (no kernel needed)."""

    def executed(self, outputs):
        built = notebook(DONE, outputs=outputs)
        built.cells[0].execution_count = 1
        built.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=notebooks.SENTINEL + "\n")]
        return built

    def check(self, outputs):
        return notebooks.check(self.executed(outputs), self.figures)

    def test_present_output_is_accepted(self):
        self.write_output("curve.svg", b"<svg/>")
        self.assertEqual(self.check(["curve.svg"]), [])

    def test_missing_figure_fails(self):
        self.assert_rejected(self.check(["curve.svg"]), "curve.svg is missing")

    def test_figure_without_manifest_line_fails(self):
        (self.figures / "curve.svg").write_bytes(b"<svg/>")
        self.assert_rejected(self.check(["curve.svg"]), "has no line")

    def test_changed_figure_fails(self):
        self.write_output("curve.svg", b"<svg>edited</svg>", recorded=b"<svg/>")
        self.assert_rejected(self.check(["curve.svg"]), "differs from its manifest line")

    def test_cell_that_did_not_run_fails(self):
        built = self.executed([])
        built.cells.insert(0, nbformat.v4.new_code_cell("let x = 1;"))
        self.assert_rejected(notebooks.check(built, self.figures), "did not run")


class CleanTest(unittest.TestCase):
    def test_published_outputs_name_no_local_path(self):
        built = notebook("let x = 1;")
        text = f"wrote {notebooks.ROOT}/figures/desk/curve.svg in {notebooks.ROOT}\n"
        built.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        notebooks.clean(built, "desk", {"cells": "a", "crate": "b"})
        self.assertEqual(built.cells[0].outputs[0].text, "wrote figures/desk/curve.svg in .\n")


if __name__ == "__main__":
    unittest.main()
