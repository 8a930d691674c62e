"""Check that everything that is compiled here is compiled once: the same dependency with the same features, whatever is asked for.

Cargo compiles a dependency anew for every set of features, and the set depends on what is built: the library with its command
line, the tests, a notebook with burn or without. crates/unify asks for the features that one of them would miss.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What is built, as arguments of `cargo tree`, and the one that has everything first.
BUILDS = {
    "tests": ("--workspace", "--edges", "normal,build,dev"),
    "build": ("--workspace", "--edges", "normal,build"),
    "notebook": ("--package", "lacuna", "--no-default-features", "--features", "notebook", "--edges", "normal,build"),
    "notebook with burn": ("--package", "lacuna", "--no-default-features", "--features", "learn,notebook", "--edges", "normal,build"),
}
OWN = re.compile(r"lacuna(-\w+)? ")


def features(arguments):
    """Package -> the sets of features that it is compiled with (one for the program, one for macros)."""
    command = ["cargo", "tree", "--locked", "--prefix", "none", "--format", "{p} [{f}]", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found = {}
    for line in done.stdout.splitlines():
        match = re.match(r"(.+?) \[(.*)\]", line)
        if match and not OWN.match(match[1]):
            found.setdefault(match[1].removesuffix(" (proc-macro)"), set()).add(match[2])
    return found


def main():
    everything, *others = BUILDS
    whole, problems = features(BUILDS[everything]), []
    for build in others:
        for package, sets in features(BUILDS[build]).items():
            # A package that only macros use here may be used by programs there.
            missing = [one for one in sets if one not in whole.get(package, set())]
            for one in missing:
                wanted = " or ".join(f"[{two}]" for two in sorted(whole.get(package, {"nothing"})))
                problems.append(f"{package}: [{one}] for {build}, {wanted} for {everything}")
    if problems:
        sys.exit("compiled more than once; add the features to crates/unify/Cargo.toml:\n  " + "\n  ".join(problems))
    print(f"unify: {len(whole)} packages, each compiled once for {', '.join(BUILDS)}")


if __name__ == "__main__":
    main()
