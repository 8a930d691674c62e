"""Fill the results section of README.md from the tables of a preset.

The section lies between `<!-- results:begin -->` and `<!-- results:end -->`; what is there is replaced by
columns of the tables of figures/PRESET named below with their captions, so no number in the README is typed by hand. Columns
of scores are those that the library's lists of metrics call headlines: columns.json, which `cargo test` keeps true.
"""

import argparse
import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEADLINES = json.loads((Path(__file__).resolve().parent / "columns.json").read_text(encoding="utf-8"))
LOOP = ("closure", "members", *HEADLINES["closed-loop"], "failures")
# Tables and the columns that are shown of them; the files have all.
TABLES = {
    "ledger.md": ("source", "method", "closure", "quantity", "relation", "published", "ours"),
    "offline.md": ("closure", *HEADLINES["offline"]),
    "closed-loop.md": LOOP + ("ms/step",),
    "large-closed-loop.md": LOOP,
    "cost.md": ("closure", "encode", "denoise", "decode", "draw", "per step", "cheaper"),
    "horizon-closed-loop.md": LOOP,
}


def chosen(table, columns):
    """The caption and the named columns of a Markdown table."""
    caption, _, *lines = table.split("\n")
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise SystemExit(f"no column {', '.join(missing)} in: {caption}")
    at = [rows[0].index(column) for column in columns]
    return "\n".join([caption, "", *("| " + " | ".join(row[i] for i in at) + " |" for row in rows)])


def section(figures):
    lines = {}
    for text in (figures / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        lines[line["file"]] = line
    parts = []
    for name, columns in TABLES.items():
        line = lines[name]
        table = (figures / name).read_text(encoding="utf-8").strip()
        parts.append(chosen(table, columns))
        parts.append(
            f"<sub>`{line['call']}`, preset `{figures.name}`, seed {line['seed']}, configuration "
            f"`{line['config_hash'][:12]}`, lacuna {line['version']}; "
            f"[{figures.name}/{name}](figures/{figures.name}/{name})</sub>"
        )
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="desk")
    arguments = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"README.md must hold {BEGIN} and {END} once each")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    filled = f"{head}{BEGIN}\n{section(ROOT / 'figures' / arguments.preset)}\n{END}{tail}"
    if filled == text:
        print("README.md: up to date")
        return
    temporary = readme.with_suffix(".md.tmp")
    temporary.write_text(filled, encoding="utf-8")
    os.replace(temporary, readme)
    print(f"README.md: results of preset {arguments.preset}")


if __name__ == "__main__":
    main()
