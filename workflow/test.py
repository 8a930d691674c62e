"""The workflow against `lacuna run`: a tiny configuration in shards and slices makes the same bits as one process.

usage: test.py PROFILE [OPTIONS OF snakemake]        (in an environment with snakemake; make workflow-test, make cluster-test)
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LACUNA = ROOT / "target" / "release" / "lacuna"
WORK = ROOT / ".cache" / "workflow"
TINY = ROOT / "workflow" / "tiny.toml"
# What says how long something took is another each time.
TIMED = {"cost"}


def snakemake(profile, *options, settings, **more):
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "Snakefile", "--profile", ROOT / profile, *options]
    pairs = [f"{key}={value}" for key, value in settings.items()]
    return subprocess.run([*map(str, command), "--config", *pairs], cwd=WORK, check=True, text=True, **more)


def plans():
    """Every preset makes a workflow without circles, in which every job has what it needs."""
    for preset in ("smoke", "desk", "paper", "les"):
        settings = {"preset": preset, "lacuna": LACUNA, "out": WORK / f"plan-{preset}", "shards": 16}
        done = snakemake("workflow/profiles/local", "--dry-run", "--quiet", "rules", settings=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert "data" in done.stdout and "run_cost" in done.stdout, done.stdout
        print(f"workflow: preset {preset} is a workflow of {done.stdout.count('_') and done.stdout.split('total')[-1].split()[0]} jobs", flush=True)


def results(out):
    """SHA-256 of every file of every result that must not depend on how it was made."""
    found = {}
    for record in sorted(out.glob("*-*/artifact.json")):
        entry = json.loads(record.read_text(encoding="utf-8"))
        if entry["stage"] not in TIMED:
            for name, file in entry["files"].items():
                found[f"{record.parent.name}/{name}"] = file["sha256"]
    return found


def main():
    profile, *options = sys.argv[1:]
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    plans()
    pieces, whole = WORK / "pieces", WORK / "whole"
    settings = {"preset": "smoke", "settings": TINY, "lacuna": LACUNA, "out": pieces, "figures": WORK / "figures", "shards": 3, "minutes": 0.02, "threads": 1}
    snakemake(profile, *options, settings=settings)
    again = snakemake(profile, *options, "--dry-run", settings=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert "Nothing to be done" in again.stdout, again.stdout
    environment = {**os.environ, "LACUNA_FIGURES": str(WORK / "figures-whole")}
    run = [LACUNA, "run", "--preset", "smoke", "--config", TINY, "--out", whole]
    subprocess.run(run, env=environment, check=True, stdout=subprocess.DEVNULL)
    a, b = results(pieces), results(whole)
    differing = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    assert a and not differing, "not the same bits:\n  " + "\n  ".join(differing)
    print(f"workflow: {len(a)} files of {len({name.split('/')[0] for name in a})} results in pieces are those of one process, bit for bit")


if __name__ == "__main__":
    main()
