"""Runs training steps, draws and closed-loop steps in Rust and in PyTorch alternately; prints ratios and writes them to bench/results.

    python bench/compare_learning.py [--rounds 2] [--only train] [--no-compile] [--out bench/results]

Nothing else should run on the machine; two rounds take six minutes where PyTorch has compiled before. Each case is measured
`--rounds` times on each side, alternating: ours, PyTorch eager, PyTorch compiled. Each measurement is the median over its repetitions; the least of the rounds counts. The ratio is that of
the better of the two PyTorch times to ours: above one we are faster. Writes learning.json, learning.md and learning.svg.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# (what, model, members, ratio aimed at, our repetitions, theirs)
CASES = [
    ("train", "paper-latent", None, 1.3, 15, 8),
    ("train", "paper-physical", None, 1.3, 8, 5),
    ("train", "ae-8", None, 1.3, 8, 5),
    ("train", "ae-16", None, 1.3, 8, 5),
    ("train", "ae-64", None, 0.9, 5, 4),
    ("sample", "latent-4", 1, 3.0, 100, 40),
    ("sample", "latent-8", 1, 3.0, 100, 40),
    ("sample", "paper-physical", 1, 3.0, 30, 15),
    ("sample", "latent-4", 16, 2.0, 30, 15),
    ("sample", "latent-8", 16, 2.0, 30, 15),
    ("sample", "paper-physical", 16, 2.0, 6, 5),
    ("rollout", "latent-8", 1, 4.0, 500, 40),
    ("rollout", "paper-physical", 1, 4.0, 100, 15),
]
UNIT = {"train": "ms_per_step", "sample": "ms_per_draw", "rollout": "ms_per_solver_step"}
LABEL = {"train": "training step", "sample": "closure draw", "rollout": "closed-loop step"}


def measure(command, may_fail=False):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        complaint = f"{' '.join(map(str, command))}\n{done.stderr}"
        if not may_fail:
            sys.exit(complaint)
        print(complaint, file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def size_of(members):
    return [] if members is None else ["--members", str(members)]


def rust_command(binary, what, model, members, repetitions):
    repeat = {"train": "--steps", "sample": "--rounds", "rollout": "--steps"}[what]
    return [binary, "bench", what, "--model", model, *size_of(members), repeat, str(repetitions), "--json"]


def commands(args, what, model, members, repetitions, theirs):
    size = size_of(members)
    rust = rust_command(args.binary, what, model, members, repetitions)
    torch = [args.python, "bench/learning_torch.py", what, "--model", model, *size, "--rounds", str(theirs)]
    runs = {"lacuna": rust, "eager": torch}
    if not args.no_compile:
        runs["compiled"] = [*torch, "--compile"]
    return runs


def row(case, runs):
    what, model, members, aim = case[:4]
    unit = UNIT[what]
    best = {name: min(results, key=lambda r: r[unit]) for name, results in runs.items()}
    theirs = min((name for name in best if name != "lacuna"), key=lambda name: best[name][unit])
    ours, other = best["lacuna"], best[theirs]
    return {
        "what": what,
        "model": model,
        "members": members,
        "batch": ours.get("batch"),
        "lacuna_ms": ours[unit],
        "pytorch_ms": {name: best[name][unit] for name in best if name != "lacuna"},
        "ratio": other[unit] / ours[unit],
        "aim": aim,
        "lacuna_memory_mb": ours["peak_memory_mb"],
        "pytorch_memory_mb": other["peak_memory_mb"],
        "matrix_peak_gflops": ours["matrix_peak_gflops"],
        "memory_gb_s": ours["memory_gb_s"],
        "fraction_of_matrix_peak": ours.get("fraction_of_matrix_peak"),
        "runs": runs,
    }


def line(r):
    size = f"batch {r['batch']}" if r["members"] is None else f"{r['members']} member{'s' * (r['members'] > 1)}"
    torch = " / ".join(f"{r['pytorch_ms'][name]:.4g}" for name in ("eager", "compiled") if name in r["pytorch_ms"])
    peak = "" if r["fraction_of_matrix_peak"] is None else f"{r['fraction_of_matrix_peak']:.2f}"
    return (
        f"| {LABEL[r['what']]} | {r['model']} | {size} | {r['lacuna_ms']:.4g} | {torch} | {r['ratio']:.2f} | {r['aim']} "
        f"| {r['lacuna_memory_mb']:.0f} | {r['pytorch_memory_mb']:.0f} | {peak} | {r['matrix_peak_gflops']:.0f} | {r['memory_gb_s']:.0f} |"
    )


HEAD = [
    "| what | model | size | lacuna ms | PyTorch ms, eager / compiled | ratio | aim | lacuna MB | PyTorch MB | of matrix peak | GFLOP/s | GB/s |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
]


def figure(rows):
    """Horizontal bars of the ratios on a logarithmic axis, the aims as ticks."""
    left, width, step, top = 300, 420, 26, 34
    high = max(max(r["ratio"], r["aim"]) for r in rows)
    low = min(0.5, min(r["ratio"] for r in rows))
    scale = width / math.log(1.1 * high / low)
    at = lambda ratio: left + scale * math.log(ratio / low)
    height = top + step * len(rows) + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{left + width + 60}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="18" font-size="13">Time of PyTorch (better of eager and compiled) / time of lacuna</text>',
    ]
    bottom = top + step * len(rows)
    for tick in (0.5, 1, 2, 5, 10, 20, 50, 100):
        if low <= tick <= 1.1 * high:
            colour = "#333" if tick == 1 else "#ddd"
            out.append(f'<line x1="{at(tick):.1f}" y1="{top}" x2="{at(tick):.1f}" y2="{bottom}" stroke="{colour}"/>')
            out.append(f'<text x="{at(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick}</text>')
    for i, r in enumerate(rows):
        y = top + step * i
        size = f"batch {r['batch']}" if r["members"] is None else f"{r['members']} member{'s' * (r['members'] > 1)}"
        start, end = sorted((at(1), at(r["ratio"])))
        colour = {"train": "#3b6ea8", "sample": "#c8682b", "rollout": "#4c8c4a"}[r["what"]]
        out += [
            f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{LABEL[r["what"]]}, {r["model"]}, {size}</text>',
            f'<rect x="{start:.1f}" y="{y + 5}" width="{end - start:.1f}" height="{step - 10}" fill="{colour}"/>',
            f'<line x1="{at(r["aim"]):.1f}" y1="{y + 2}" x2="{at(r["aim"]):.1f}" y2="{y + step - 2}" stroke="#000" stroke-width="2"/>',
            f'<text x="{max(end, at(r["aim"])) + 6:.1f}" y="{y + 16}">{r["ratio"]:.2f}</text>',
        ]
    out.append(f'<text x="{left}" y="{bottom + 30}" fill="#555">black ticks: what was aimed at</text></svg>')
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--binary", default="target/release/lacuna")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--only", choices=list(UNIT), help="one kind of case")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench" / "results")
    args = parser.parse_args()
    rows = []
    print("\n".join(HEAD))
    for case in CASES:
        if args.only and case[0] != args.only:
            continue
        what, model, members, _, repetitions, theirs = case
        sides = commands(args, what, model, members, repetitions, theirs)
        runs = {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, command in sides.items():
                # Not every network compiles on every machine; eager mode is then what there is to beat.
                made = measure(command, may_fail=name == "compiled")
                runs[name] += [made] if made else []
        rows.append(row(case, {name: made for name, made in runs.items() if made}))
        print(line(rows[-1]), flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "learning.json").write_text(json.dumps(rows, indent=1) + "\n")
    (args.out / "learning.md").write_text("\n".join([*HEAD, *map(line, rows)]) + "\n")
    (args.out / "learning.svg").write_text(figure(rows))


if __name__ == "__main__":
    main()
