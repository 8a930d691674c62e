"""Runs training steps, draws and closed-loop steps with all vector registers and without those of AVX-512, alternately.

    python bench/compare_vectors.py [--rounds 3] [--out bench/results]

Nothing else should run on the machine; three rounds take four minutes. The ratio is that of the medians over the rounds. General
matrix products come from a library that does not leave AVX-512 aside: where they count, as in `ae-64`, a processor without it
takes longer than is seen here. On a machine without AVX-512 both sides are the same. Writes vectors.json and vectors.md.
"""

import argparse
import json
import os
import pathlib
import statistics

from compare_learning import CASES, LABEL, ROOT, UNIT, measure, rust_command

SIDES = ("", "avx2")
HEAD = [
    "| what | model | all registers, ms | AVX2, ms | ratio |",
    "|---|---|---|---|---|",
]


def timed(binary, case, side):
    what, model, members, _, repetitions, _ = case
    os.environ["LACUNA_VECTORS"] = side
    return measure(rust_command(binary, what, model, members, repetitions))[UNIT[what]]


def line(row):
    size = "" if row["members"] in (None, 1) else f", {row['members']} members"
    wide, narrow = (row["ms"][side] for side in SIDES)
    return f"| {LABEL[row['what']]} | {row['model']}{size} | {wide:.4g} | {narrow:.4g} | {row['ratio']:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binary", default="target/release/lacuna")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench" / "results")
    args = parser.parse_args()
    rows = []
    print("\n".join(HEAD))
    for case in CASES:
        runs = {side: [] for side in SIDES}
        for _ in range(args.rounds):
            for side, times in runs.items():
                times.append(timed(args.binary, case, side))
        ms = {side: statistics.median(times) for side, times in runs.items()}
        rows.append({"what": case[0], "model": case[1], "members": case[2], "ms": ms, "ratio": ms["avx2"] / ms[""], "runs": runs})
        print(line(rows[-1]), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "vectors.json").write_text(json.dumps(rows, indent=1) + "\n")
    (args.out / "vectors.md").write_text("\n".join([*HEAD, *map(line, rows)]) + "\n")


if __name__ == "__main__":
    main()
