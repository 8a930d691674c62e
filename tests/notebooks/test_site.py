"""The page builder finds links that lead nowhere, and leaves code alone."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import site_pages  # noqa: E402


class Pages(unittest.TestCase):
    def test_dead_links_are_found(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "a").mkdir()
            (folder / "a" / "one.html").write_text('<h2 id="two-words">x</h2><a href="../two.html">', encoding="utf-8")
            two = '<a href="a/one.html#two-words"><a href="https://elsewhere"><img src="x%20y.png"><a href="#here"><p id="here">'
            (folder / "two.html").write_text(two, encoding="utf-8")
            (folder / "x y.png").touch()
            self.assertEqual(list(site_pages.dead(folder)), [])
            (folder / "x y.png").unlink()
            (folder / "two.html").write_text(two.replace("words", "wards").replace('id="here"', ""), encoding="utf-8")
            self.assertEqual(
                list(site_pages.dead(folder)),
                [
                    "two.html: #here: no such heading",
                    "two.html: a/one.html#two-wards: no such heading",
                    "two.html: x%20y.png leads nowhere",
                ],
            )

    def test_links_go_to_pages_and_into_folders(self):
        made = site_pages.Site()
        found = made.linked("notebooks/01_data.ipynb", '<a href="../src/data"><a href="../README.md#results"><a href="x:y">')
        self.assertEqual(found, '<a href="../src/data/mod.rs.html"><a href="../index.html#results"><a href="x:y">')
        self.assertEqual(made.problems, [])
        made.linked("README.md", '<a href="nowhere.md"><a href="../outside">')
        self.assertEqual(len(made.problems), 2)

    def test_formulas_become_mathml_outside_of_code(self):
        found = site_pages.formulas("<p>$\\omega$ and $$\\mathbf u &lt; 1$$</p><pre>$a$ and $b$</pre>")
        self.assertEqual(found.count("<math"), 2)
        self.assertIn("<pre>$a$ and $b$</pre>", found)
        self.assertNotIn("mathbf", found)


if __name__ == "__main__":
    unittest.main()
