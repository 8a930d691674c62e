"""The notices that must go with a program or library: every crate that is linked into it, its licence, and the texts.

usage: notices.py PACKAGE OUT [--lib FILE ...] [-- ARGUMENTS OF cargo]

With --lib, also those of the Debian packages that shared libraries come from, which a bundle takes along.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

TEXTS = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "UNLICENSE*", "license*")


def linked(name, arguments):
    """The packages that `name` is linked from: no build scripts, no tests, no macros."""
    common = ["--locked", *arguments]
    tree = ["cargo", "tree", "--package", name, "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}", *common]
    found = {tuple(line.split()[:2]) for line in subprocess.check_output(tree, text=True).splitlines()}
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version", "1", *common], text=True))
    packages = [package for package in metadata["packages"] if package["source"]]
    return [package for package in packages if (package["name"], f"v{package['version']}") in found]


def texts(package):
    """The licence texts of a crate, without those that it repeats."""
    folder = Path(package["manifest_path"]).parent
    files = sorted({path for pattern in TEXTS for path in folder.glob(pattern) if path.is_file()})
    return list(dict.fromkeys(path.read_text(encoding="utf-8", errors="replace").strip() for path in files))


def debian(library):
    """The package of a shared library and its copyright file."""
    path = Path(library).resolve()
    # On merged systems a file is known by either of its names.
    for name in (path, Path("/usr") / path.relative_to("/"), Path(str(path).removeprefix("/usr"))):
        done = subprocess.run(["dpkg-query", "-S", str(name)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            package = done.stdout.split(":")[0]
            return package, (Path("/usr/share/doc") / package / "copyright").read_text(encoding="utf-8", errors="replace").strip()
    sys.exit(f"notices: {library} is of no Debian package; its notice must be added by hand")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("package")
    parser.add_argument("out", type=Path)
    parser.add_argument("--lib", nargs="*", default=[])
    own = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    arguments = parser.parse_args(own)
    rest = sys.argv[len(own) + 2 :]
    packages = linked(arguments.package, rest)
    unlicensed = [package["name"] for package in packages if not package["license"] and not package["license_file"]]
    if not packages or unlicensed:
        sys.exit(f"notices: {arguments.package} is linked from nothing" if not packages else f"notices: no licence: {unlicensed}")
    # Most texts are the same for many.
    by_text, lines = {}, []
    for package in packages:
        label = f"{package['name']} {package['version']}"
        lines.append(f"{label}: {package['license'] or 'see below'}; {', '.join(package['authors']) or 'its contributors'}")
        for text in texts(package):
            by_text.setdefault(text, []).append(label)
    for name, text in sorted({debian(library) for library in arguments.lib}):
        lines.append(f"{name}, a shared library of Debian: see below")
        by_text.setdefault(text, []).append(name)
    parts = [f"{arguments.package} is linked from or comes with:\n\n" + "\n".join(lines)]
    parts += [f"{', '.join(labels)}:\n\n{text}" for text, labels in by_text.items()]
    arguments.out.write_text(("\n\n" + 100 * "-" + "\n\n").join(parts) + "\n", encoding="utf-8")
    print(f"notices: {len(packages)} crates and {len(arguments.lib)} libraries in {arguments.out}")


if __name__ == "__main__":
    main()
