"""The checker must reject notebooks that fail in the ways Rust notebooks fail. Each is run for real, in a real kernel.

They use no crate, so a kernel is ready in seconds. Run with: make check-notebooks
"""

import argparse
import contextlib
import hashlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

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
        self.figures = Path(folder.name) / "figures"
        self.data = Path(folder.name) / "data"
        self.figures.mkdir()
        self.data.mkdir()

    def write_output(self, name, content, recorded=None, parents=()):
        (self.figures / name).write_bytes(content)
        digest = hashlib.sha256(content if recorded is None else recorded).hexdigest()
        with open(self.figures / "manifest.jsonl", "a", encoding="utf-8") as manifest:
            manifest.write(json.dumps({"file": name, "sha256": digest, "parents": list(parents)}) + "\n")

    def problems(self, built):
        """As scripts/notebooks.py judges: what execution met, else what the check found."""
        return notebooks.execute(built, timeout=TIMEOUT, verbose=False) or notebooks.check(built, self.figures, self.data)

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
        return notebooks.check(self.executed(outputs), self.figures, self.data)

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

    def test_missing_artifact_fails(self):
        self.write_output("curve.svg", b"<svg/>", parents=["train-0123"])
        self.assert_rejected(self.check(["curve.svg"]), "made from train-0123, which is missing")
        (self.data / "train-0123").mkdir()
        self.assert_rejected(self.check(["curve.svg"]), "which is missing")
        (self.data / "train-0123" / "artifact.json").write_text("{}")
        self.assertEqual(self.check(["curve.svg"]), [])

    def test_output_outside_the_folder_of_figures_fails(self):
        self.assert_rejected(self.check(["../curve.svg"]), "no name of a file")

    def test_cell_that_did_not_run_fails(self):
        built = self.executed([])
        built.cells.insert(0, nbformat.v4.new_code_cell("let x = 1;"))
        self.assert_rejected(notebooks.check(built, self.figures, self.data), "did not run")


class RebuildTest(Helpers, unittest.TestCase):
    """A finished run counts as up to date only while everything that it left is there."""

    def test_lost_artifact_or_output_is_made_again(self):
        stamp, executed = self.data.parent / "stamp.json", self.data.parent / "done.ipynb"
        executed.write_text("{}")
        artifact = self.data / "train-0123" / "checkpoint.lacuna"
        artifact.parent.mkdir()
        artifact.write_bytes(b"weights")
        self.write_output("curve.svg", b"<svg/>")
        digest = notebooks.sha256(self.figures / "curve.svg")
        record = {"inputs": {"cells": "a"}, "outputs": {"curve.svg": digest}, "artifacts": notebooks.artifacts(self.data)}
        stamp.write_text(json.dumps(record))

        def fresh(inputs):
            return notebooks.up_to_date(stamp, executed, inputs, self.figures, self.data)

        self.assertTrue(fresh({"cells": "a"}))
        self.assertFalse(fresh({"cells": "b"}), "other cells")
        artifact.unlink()
        self.assertFalse(fresh({"cells": "a"}), "an artifact was lost")
        artifact.write_bytes(b"weights")
        self.assertTrue(fresh({"cells": "a"}))
        (self.figures / "curve.svg").unlink()
        self.assertFalse(fresh({"cells": "a"}), "a figure was lost")
        for damaged in ("", "{", "[]", "{}"):
            stamp.write_text(damaged)
            self.assertFalse(fresh({"cells": "a"}), "a damaged stamp")


class StaleTest(unittest.TestCase):
    """Committed outputs that do not belong to the cells and the crate as they are."""

    def executed(self, crate="c"):
        built = notebook("let x = 1;", outputs=["curve.svg"])
        built.metadata["lacuna"]["executed"] = {"preset": "desk", "cells": notebooks.cells_hash(built), "crate": crate}
        return built

    def test_reasons(self):
        self.assertIsNone(notebooks.staleness(self.executed(), "c"))
        self.assertIn("crate", notebooks.staleness(self.executed(), "d"))
        changed = self.executed()
        changed.cells[0].source = "let x = 2;"
        self.assertIn("other cells", notebooks.staleness(changed, "c"))
        self.assertIn("no outputs", notebooks.staleness(notebook("let x = 1;"), "c"))

    def test_strict_fails_and_names_what_is_stale(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "01_old.ipynb"
            nbformat.write(self.executed(crate="of another day"), path)
            for strict in (False, True):
                said = io.StringIO()
                arguments = argparse.Namespace(names=[], strict=strict)
                with mock.patch.object(notebooks, "NOTEBOOKS", Path(folder)), contextlib.redirect_stdout(said):
                    if strict:
                        self.assertRaises(SystemExit, notebooks.stale, arguments)
                    else:
                        notebooks.stale(arguments)
                self.assertIn("01_old: STALE", said.getvalue())
                self.assertIn("curve.svg", said.getvalue())



class ChoiceTest(Helpers, unittest.TestCase):
    """Which notebooks run for a preset."""

    def chosen(self, names, preset):
        for name, bound in (("a", None), ("b", None), ("c", "big")):
            built = notebook("1")
            if bound:
                built.metadata["lacuna"]["preset"] = bound
            nbformat.write(built, self.data / f"{name}.ipynb")
        with mock.patch.object(notebooks, "NOTEBOOKS", self.data):
            return [source.stem for source, _ in notebooks.chosen(names, preset)]

    def test_a_notebook_about_a_preset_runs_for_it_alone(self):
        self.assertEqual(self.chosen([], "small"), ["a", "b"])
        self.assertEqual(self.chosen([], "big"), ["c"])
        self.assertEqual(self.chosen(["b"], "big"), ["b"])
        with self.assertRaisesRegex(SystemExit, "c: of preset big, not of small"):
            self.chosen(["c"], "small")


class TimesTest(unittest.TestCase):
    def test_ordinary_cells_follow_the_first_picture_and_report_nothing(self):
        times = notebooks.Times()

        def ran(source, seconds, said=""):
            cell = nbformat.v4.new_code_cell(source)
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=said)] if said else []
            times.ran(cell, seconds)

        ran("lab", 9.0)
        times.shown({"text/html": "<table>"})
        self.assertIsNone(times.picture)
        times.shown({"image/png": ""})
        ran(":dep lacuna", 8.0)
        ran("lab.train()", 7.0, "train: step 1/2")
        ran("lab.show(Exhibit::ErrorCurves)", 1.5)
        ran("lab.done();", 0.5, notebooks.SENTINEL + "\n")
        self.assertEqual(times.ordinary, [(1.5, "lab.show(Exhibit::ErrorCurves)"), (0.5, "lab.done();")])
        self.assertIn("median 1.0 s, longest 1.5 s (lab.show(Exhibit::ErrorCurves))", " ".join(times.report()))


class CleanTest(unittest.TestCase):
    def test_published_outputs_name_no_local_path(self):
        built = notebook("let x = 1;")
        text = f"wrote {notebooks.ROOT}/figures/desk/curve.svg in {notebooks.ROOT}\n"
        built.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        notebooks.clean(built, "desk", {"cells": "a", "crate": "b"})
        self.assertEqual(built.cells[0].outputs[0].text, "wrote figures/desk/curve.svg in .\n")


if __name__ == "__main__":
    unittest.main()
