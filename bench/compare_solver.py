"""Runs the Rust solver and its PyTorch counterpart alternately, prints a table of medians and ratios, writes it to bench/results.

    python bench/compare_solver.py [--rounds 3] [--out bench/results]

Nothing else should run on the machine. Each case is measured `--rounds` times on each side, alternating, so that both see the
same state of the machine; the median of each is reported.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# (grid, batch, noise, steps of ours, steps of theirs, factor aimed at)
CASES = [(256, 5, True, 400, 40, 20.0), (256, 5, False, 400, 150, 3.0), (64, 16, True, 4000, 200, 20.0), (64, 16, False, 4000, 1000, 3.0)]


def measure(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binary", default="target/release/lacuna")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench" / "results")
    args = parser.parse_args()
    rows, lines = [], ["| grid | batch | noise | lacuna ms | PyTorch ms | ratio | aim | ours / bare FFTs |", "|---|---|---|---|---|---|---|---|"]
    for n, batch, noise, our_steps, their_steps, aim in CASES:
        quiet = [] if noise else ["--no-noise"]
        size = ["--n", str(n), "--batch", str(batch)]
        ours, theirs = [], []
        for _ in range(args.rounds):
            ours.append(measure([args.binary, "bench", "solver", *size, "--steps", str(our_steps), "--json", *quiet]))
            theirs.append(measure([args.python, "bench/solver_torch.py", *size, "--steps", str(their_steps), *quiet]))
        ms = [statistics.median(r["ms_per_step_per_trajectory"] for r in side) for side in (ours, theirs)]
        floor = statistics.median(r["ratio_to_floor"] for r in ours)
        rows.append({"n": n, "batch": batch, "noise": noise, "lacuna": ours, "pytorch": theirs, "ratio": ms[1] / ms[0], "aim": aim})
        lines.append(f"| {n}² | {batch} | {'yes' if noise else 'no'} | {ms[0]:.4f} | {ms[1]:.3f} | {ms[1] / ms[0]:.1f} | {aim:.0f} | {floor:.2f} |")
        print(lines[-1], flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "solver.json").write_text(json.dumps(rows, indent=1) + "\n")
    (args.out / "solver.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
