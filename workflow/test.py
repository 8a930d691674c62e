"""The workflow against `lacuna run`: a tiny configuration in shards and slices makes the same bits as one process.

usage: test.py PROFILE [OPTIONS OF snakemake]        (in an environment with snakemake; make workflow-test, make cluster-test)
"""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parent.parent
LACUNA = ROOT / "target" / "release" / "lacuna"
WORK = ROOT / ".cache" / "workflow"
TINY = ROOT / "workflow" / "tiny.toml"
# What is nothing but how long something took.
TIMED = {"cost"}


def snakemake(profile, *options, settings, **more):
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "Snakefile", "--profile", ROOT / profile, *options]
    pairs = [f"{key}={value}" for key, value in settings.items()]
    return subprocess.run([*map(str, command), "--config", *pairs], cwd=WORK, check=True, text=True, **more)


def plans():
    """Every preset makes a workflow without circles, in which every job has what it needs."""
    for preset in ("smoke", "desk", "published", "transports", "paper", "les"):
        settings = {"preset": preset, "lacuna": LACUNA, "out": WORK / f"plan-{preset}", "shards": 16}
        done = snakemake("workflow/profiles/local", "--dry-run", "--quiet", "rules", settings=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert "data" in done.stdout and "run_" in done.stdout, done.stdout
        jobs = done.stdout.split("total")[-1].split()[0]
        print(f"workflow: preset {preset} is a workflow of {jobs} jobs", flush=True)


def content(path):
    """Digest of a file, without what it says of the time that something took: attributes of fields, columns of tables."""
    digest = hashlib.sha256()
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            for name in sorted(file):
                digest.update(f"{name} {file[name].shape} {file[name].dtype} ".encode() + file[name][()].tobytes())
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                digest.update(repr([pair for pair in row.items() if not pair[0].startswith("ms_per_")]).encode())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def results(out):
    """Digests of every file of every result that must not depend on how it was made."""
    found = {}
    for record in sorted(out.glob("*-*/artifact.json")):
        entry = json.loads(record.read_text(encoding="utf-8"))
        if entry["stage"] not in TIMED:
            found.update({f"{record.parent.name}/{name}": content(record.parent / name) for name in entry["files"]})
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
