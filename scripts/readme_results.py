"""Fill the generated parts of README.md from the tables of a preset.

Each part lies between `<!-- NAME:begin -->` and `<!-- NAME:end -->`; what is there is replaced, so that no result in the README
is typed by hand: when noise about a regression is enough, the numbers that matter, what the results say in sentences, the rows of the ledger that carry the story with
what is to be said of each, and columns of tables. Files have machine names (`error_of_mean`), their Markdown has titles.
"""

import argparse
import csv
import json
import math
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Columns of scores: those that the library's lists of metrics call headlines, which `cargo test` keeps true.
HEADLINES = json.loads((Path(__file__).resolve().parent / "columns.json").read_text(encoding="utf-8"))
LOOP = ("closure", "members", "failures", *HEADLINES["closed-loop"])
# Tables and the columns that are shown of them; the files have all.
TABLES = {
    "offline.md": ("closure", *HEADLINES["offline"]),
    "closed-loop.md": LOOP,
    "calibration.md": ("closure", *HEADLINES["calibration"], "rank statistic", "p-value", "calibrated"),
    "horizon-closed-loop.md": LOOP,
}
# Closures that nobody learned.
GIVEN = ("no closure", "exact law")
# Whose valley mass is shown of preset `cells`, and what they are called.
CELLS = {
    "exact law": "the exact law",
    "residual-diffusion": "a diffusion of 10 evaluations",
    "matched Gaussian": "the Gaussian of the exact mean and covariance",
    "residual-generator": "a generator trained on CRPS",
}
# Presets of large-eddy simulation, and how they filter.
FILTERS = {"turbulence": "Gaussian filter", "cutoff": "sharp cut-off"}
# What is to be said of the rows of the ledger that carry the story, which are its first ones.
LEDGER = {
    ("no closure", "error at t = 50", "own"): "Reproduced: the reduced model alone loses the flow; how far depends on the start state.",
    ("exact law", "D_RE single", "own"): "The floor. A perfect draw does not score zero against one noisy truth; it moves with the rms of H.",
    ("two-phase", "D_RE single", "published"): "Reproduced in kind: the recipe trained in two phases leaves a gap to the floor, smaller here than published.",
    ("two-phase", "D_RE single", "own"): "Better: fields and latents normalised, the gated network; at the floor.",
    ("joint", "D_RE single", "published"): "Not reproduced: at a hundredth of the published training, joint training leaves a gap, too, of the bias of its network.",
    ("joint", "D_RE single", "own"): "Better: the same joint loss on normalised latents; at the floor.",
    ("p-cdm", "error of the mean at t = 50", "published"): "Not reproduced at a hundredth of the published training.",
    ("joint", "error of the mean at t = 50", "published"): "Reproduced: below a tenth, and half the error of two-phase training.",
    ("joint", "error of the mean at t = 50", "own"): "Better.",
    ("p-cdm", "cost ratio, 1000 members", "published"): "The published networks; ours are the machine and the width of the autoencoders, on which the ratio depends.",
}


class Tables:
    """The tables of a preset, by name."""

    def __init__(self, folder):
        self.folder = folder

    def rows(self, name):
        with open(self.folder / f"{name}.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def value(self, name, closure, column):
        found = [row[column] for row in self.rows(name) if row["closure"] == closure]
        if len(found) != 1 or math.isnan(float(found[0])):
            raise SystemExit(f"{self.folder / name}.csv: {len(found)} values of `{column}` for {closure}")
        return float(found[0])


def short(number):
    """Two significant digits, without an exponent."""
    digits = 1 - math.floor(math.log10(abs(number))) if number else 0
    return f"{round(number, digits):.{max(digits, 0)}f}"


def enough(tables):
    """When regression with noise is enough, and when it is not."""
    cells, climate = Tables(tables.folder.parent / "cells"), {row["closure"]: float(row["ks"]) for row in tables.rows("lorenz96-climate")}

    def crps(closure):
        return f"{tables.value('offline', closure, 'crps_over_exact'):.3f}"

    def draw(closure):
        return short(tables.value("cost", closure, "draw"))

    def valley(closure):
        return short(cells.value("shape", closure, "valley_mass"))

    return (
        "**Regression with noise is enough** where the law of the missing term is Gaussian about its mean: there the quadratic law, solved in closed "
        f"form, scores {crps('quadratic')} times the CRPS of the exact law at {draw('quadratic')} ms a draw, diffusion in physical space "
        f"{crps('p-cdm')} at {draw('p-cdm')} ms. **It is not** where the law has several modes: {valley('matched Gaussian')} of the draws of the "
        f"Gaussian of the right mean and covariance, {valley('residual-gaussian')} of a network's of mean and variance and "
        f"{valley('residual-diffusion')} of a diffusion's lie in none of them ({valley('exact law')} of the law's own), and the climate of Lorenz-96 is "
        f"off by {short(climate['AR(1)'])} (KS) with autoregressive noise, {short(climate['diffusion'])} with a learned diffusion."
    )


def numbers(tables):
    """What a reader should know before anything else."""

    def error(closure):
        return short(tables.value("closed-loop", closure, "error_of_mean"))

    learned = min(("spectral", "two-phase", "joint", "regression", "quadratic"), key=lambda c: tables.value("closed-loop", c, "error_of_mean"))
    starts = tables.rows("calibration")
    knows = min((row for row in starts if row["closure"] not in GIVEN), key=lambda row: float(row["error_over_exact"]))["closure"]

    def calibrated(closure, column):
        return short(tables.value("calibration", closure, column))

    cells = Tables(tables.folder.parent / "cells")
    valley = [short(cells.value("shape", closure, "valley_mass")) for closure in CELLS]
    draw = {closure: tables.value("cost", closure, "draw") for closure in ("p-cdm", "spectral", "regression", "quadratic")}
    return "\n".join(
        (
            "| what | number |",
            "|---|---|",
            f"| error of vorticity after 20 time units, relative to its rms: no closure → learned (`{learned}`); the exact law has | "
            f"{error('no closure')} → {error(learned)}; {error('exact law')} |",
            *(long_runs(tables.folder.parent / preset, of) for preset, of in FILTERS.items()),
            f"| hidden cells, a law of many modes: share of draws in none of them, of {', '.join(CELLS.values())} | {', '.join(valley)} |",
            f"| bias of the learned law (`joint`) relative to rms H, and its spread over the exact one | "
            f"{short(tables.value('offline', 'joint', 'bias'))}, {tables.value('offline', 'joint', 'std_over_exact'):.3f} |",
            f"| cost of a draw on one thread, ms: P-CDM, spectral-latent diffusion, regression with noise, quadratic law | "
            f"{short(draw['p-cdm'])}, {short(draw['spectral'])}, {short(draw['regression'])}, {short(draw['quadratic'])} |",
            f"| spread/skill over {starts[0]['states']} start states of the exact law's ensemble and of the best learned one (`{knows}`); p-value of "
            f"its ranks (1 and above 0.05 are calibrated) | {calibrated('exact law', 'spread_over_skill')}, "
            f"{calibrated(knows, 'spread_over_skill')}; {calibrated(knows, 'p_value')} |",
        )
    )


def long_runs(folder, of):
    """Spectra of long runs of large-eddy simulation: without closure, of the best classical one, of the best learned one."""
    rows = {row["closure"]: row for row in Tables(folder).rows("long-run")}
    lasting = [closure for closure, row in rows.items() if row["failures"] == "0" and closure != "none"]

    def distance(closure):
        return float(rows[closure]["energy_distance"])

    def said(closure):
        return f"{short(distance(closure))} ± {short(float(rows[closure]['energy_distance_se']))} (`{closure}`)"

    learned = [closure for closure in lasting if any(name in closure for name in ("quadratic", "regression"))]
    best, classical = (min(some, key=distance) for some in (learned, set(lasting) - set(learned)))
    return (
        f"| large-eddy simulation at Re 20,000 over 200 turnovers, {of}, energy spectra off in decades a shell: no model → learned; the best "
        f"tuned classical model has | {short(distance('none'))} → {said(best)}; {said(classical)} |"
    )


def ledger(tables):
    rows = tables.rows("ledger")
    lines = ["| method | closure here | preset | quantity | published | here | |", "|---|---|---|---|---:|---:|---|"]
    story = rows[: len(LEDGER)]
    told = [(row["closure"], row["quantity"], row["of_preset"] if row["of_preset"] == "published" else "own") for row in story]
    if told != list(LEDGER):
        raise SystemExit(f"ledger.csv begins with {told}; expected {list(LEDGER)}")
    for row, said in zip(story, LEDGER.values()):
        closure, quantity = row["closure"], row["quantity"]
        error = f" ± {short(float(row['ours_se']))}" if float(row["ours_se"]) > 0 else ""
        published = f"{row['relation']} {row['published']}".removeprefix("= ")
        lines.append(f"| {row['method']} | {closure} | {row['of_preset']} | {quantity} | {published} | {short_of(row['ours'])}{error} | {said} |")
    return "\n".join(lines)


def short_of(text):
    return f"{float(text):.4g}"


def findings(tables):
    """What the results of the preset say, and long runs of large-eddy simulation."""

    def said(folder):
        return (folder / "findings.md").read_text(encoding="utf-8").strip().split("\n")

    runs = [line for preset in FILTERS for line in said(tables.folder.parent / preset) if "ong runs" in line]
    return "\n".join([*said(tables.folder), *runs])


def chosen(table, columns):
    """The caption and the named columns of a Markdown table."""
    caption, _, *lines = table.split("\n")
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise SystemExit(f"no column {', '.join(missing)} in: {caption}")
    at = [rows[0].index(column) for column in columns]
    return "\n".join([caption, "", *("| " + " | ".join(row[i] for i in at) + " |" for row in rows)])


def results(tables):
    lines = {}
    for text in (tables.folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        lines[line["file"]] = line
    parts = []
    for name, columns in TABLES.items():
        line = lines[name]
        parts.append(chosen((tables.folder / name).read_text(encoding="utf-8").strip(), columns))
        preset = tables.folder.name
        parts.append(
            f"<sub>`{line['call']}`, preset `{preset}`, seed {line['seed']}, configuration `{line['config_hash'][:12]}`, lacuna "
            f"{line['version']}; [{preset}/{name}](figures/{preset}/{name})</sub>"
        )
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="desk")
    arguments = parser.parse_args()
    readme = ROOT / "README.md"
    text = filled = readme.read_text(encoding="utf-8")
    tables = Tables(ROOT / "figures" / arguments.preset)
    for part in (enough, numbers, findings, ledger, results):
        begin, end = (f"<!-- {part.__name__}:{edge} -->" for edge in ("begin", "end"))
        if filled.count(begin) != 1 or filled.count(end) != 1:
            raise SystemExit(f"README.md must hold {begin} and {end} once each")
        made = f"{begin}\n{part(tables)}\n{end}"
        filled = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, made=made: made, filled, flags=re.DOTALL)
    if filled == text:
        print("README.md: up to date")
        return
    temporary = readme.with_suffix(".md.tmp")
    temporary.write_text(filled, encoding="utf-8")
    os.replace(temporary, readme)
    print(f"README.md: results of preset {arguments.preset}")


if __name__ == "__main__":
    main()
