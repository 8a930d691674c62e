"""Start the Rust kernel with a build directory that outlives it.

usage: kernel.py EVCXR_JUPYTER CONNECTION_FILE
       kernel.py --prepare      (make lab: compile the library for kernels now, where progress shows, and not at the first cell)

evcxr compiles the dependencies of a notebook into a temporary directory; kept, the next kernel starts in seconds
instead of minutes. Two kernels must not share one, so each running kernel locks a slot, notebooks/.evcxr/0, 1, ...;
a new slot starts as a copy of slot 0, not from nothing.

Dependencies are compiled as `make build` and `make test` compile them, to the last flag: the kernel finds a cargo of ours
(kernel/cargo), and both read the same settings (.cargo/config.toml). So what these have compiled is taken over, and a kernel
compiles nothing but the crate and its cells.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLOTS = ROOT / "notebooks" / ".evcxr"
MAX_KERNELS = 16
# Products that the compiler renames into place and never writes again: two directories can hold one file.
IMMUTABLE = (".rlib", ".rmeta")
# The crate's own products, but not those of the crates that it consists of besides.
OWN = re.compile(r"(lib)?lacuna-[0-9a-f]+\b")
# What a dependency leaves in deps/.
LIBRARIES = (*IMMUTABLE, ".so", ".d")


def copy_build(source: Path, target: Path) -> None:
    """Copy a build directory that a kernel may be using; what is missing afterwards is compiled again.

    Fingerprints go first: cargo writes one only after its product is complete, so no copied fingerprint can vouch for a
    product that was copied half-written.
    """
    if not source.exists():
        return
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for prints in sorted(source.glob("target/**/.fingerprint")):
        copy_tree(prints, partial / prints.relative_to(source))
    copy_tree(source, partial, ignore=shutil.ignore_patterns(".fingerprint"))
    os.replace(partial, target)


def copy_tree(source: Path, target: Path, ignore=None) -> None:
    """shutil.copytree that does not mind files vanishing under it."""
    try:
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=ignore, copy_function=place)
    except shutil.Error:
        pass


def place(source: str, target: str) -> None:
    """Put a file at `target`, its time of change included; nothing where one is there."""
    if os.path.lexists(target):
        return
    if source.endswith(IMMUTABLE):
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system, or one without links
    shutil.copy2(source, target)


def take_over(slot: Path) -> None:
    """Add to a slot what `make build` or `make test` compiled of the crate's dependencies, in the order of copy_build.

    The crate's own products stay where they are: a kernel's have other features, and the tests are large. Those of its core
    are the same for both.
    """
    release = ROOT / "target" / "release"
    for part in (".fingerprint", "build", "deps"):
        if (release / part).is_dir():
            copy_tree(release / part, slot / "target" / "release" / part, own_products)


def own_products(folder: str, names: list[str]) -> set[str]:
    """What the crate itself left in a folder: its libraries and, in deps/, the programs of tests and benchmarks."""
    programs = (name for name in names if Path(folder).name == "deps" and Path(name).suffix not in LIBRARIES)
    return {name for name in names if OWN.match(name)}.union(programs)


def find_cargo(slot: Path) -> None:
    """Let the kernel find the cargo of kernel/, and that the real one, without a detour through rustup at every cell."""
    rustup, cargo = shutil.which("rustup"), shutil.which("cargo")
    if rustup:
        found = subprocess.run([rustup, "which", "cargo"], capture_output=True, text=True, check=False)
        cargo = found.stdout.strip() or cargo
        os.environ["LACUNA_RUSTUP"] = rustup
    if not cargo:
        sys.exit("cargo not found: run `make setup`")
    os.environ["LACUNA_CARGO"] = cargo
    os.environ["PATH"] = f"{ROOT / 'scripts' / 'kernel'}:{os.environ.get('PATH', os.defpath)}"
    os.environ["LACUNA_CARGO_HOME"] = os.environ.get("CARGO_HOME") or str(Path.home() / ".cargo")
    os.environ["CARGO_HOME"] = str(analyser_home(slot, Path(os.environ["LACUNA_CARGO_HOME"])))
    # As the build: no folder for a target of its own, and its flags; these come before those that the kernel sets.
    os.environ.pop("CARGO_BUILD_TARGET", None)
    os.environ["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(os.environ.get("RUSTFLAGS", "").split())


def analyser_home(slot: Path, real: Path) -> Path:
    """A CARGO_HOME in which the kernel's analyser, which looks nowhere else, finds kernel/analyser; all else is the real one's."""
    home = slot / "cargo-home"
    shutil.rmtree(home, ignore_errors=True)
    (home / "bin").mkdir(parents=True)
    for folder, names in ((real, home), (real / "bin", home / "bin")):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in ("bin", "cargo"):
                (names / path.name).symlink_to(path)
    (home / "bin" / "cargo").symlink_to(ROOT / "scripts" / "kernel" / "analyser")
    return home


def pin_versions(slot: Path) -> None:
    """Give the kernel the crate's own lock file: the same versions as in the tests, whatever was published since.

    At every start: cargo strikes out what the notebook before did not use, such as burn, and would choose its version anew.
    """
    (slot / "Cargo.lock").write_bytes((ROOT / "Cargo.lock").read_bytes())


def take_slot() -> Path:
    """Lock the first free slot; the lock is inherited by the kernel and falls when it ends."""
    SLOTS.mkdir(parents=True, exist_ok=True)
    for index in range(MAX_KERNELS):
        try:
            lock = os.open(SLOTS / f"{index}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except PermissionError:
            continue  # another user's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        os.set_inheritable(lock, True)
        slot = SLOTS / str(index)
        if not slot.exists() and index > 0:
            copy_build(SLOTS / "0", slot)
        slot.mkdir(exist_ok=True)
        take_over(slot)
        pin_versions(slot)
        return slot
    sys.exit(f"{MAX_KERNELS} kernels are running from {SLOTS}, or belong to other users; close one")


def prepare() -> None:
    """Compile the crate in a free slot as the first cell of every notebook asks for it."""
    slot = take_slot()
    find_cargo(slot)
    crate = slot / "prepare"
    (crate / "src").mkdir(parents=True, exist_ok=True)
    (crate / "src" / "lib.rs").touch()
    (crate / "Cargo.toml").write_text(
        '[package]\nname = "prepare"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n[dependencies]\n'
        f'lacuna = {{ path = {json.dumps(str(ROOT))}, default-features = false, features = ["notebook"] }}\n'
    )
    pin_versions(crate)
    environment = os.environ | {"CARGO_HOME": os.environ["LACUNA_CARGO_HOME"], "CARGO_TARGET_DIR": str(slot / "target")}
    sys.exit(subprocess.run([os.environ["LACUNA_CARGO"], "build", "--release"], cwd=crate, env=environment).returncode)


def main() -> None:
    if sys.argv[1:] == ["--prepare"]:
        prepare()
    binary, connection = sys.argv[1:3]
    if not os.access(binary, os.X_OK):
        sys.exit(f"{binary} is missing: run `make setup`")
    slot = take_slot()
    os.environ["EVCXR_TMPDIR"] = str(slot)
    conda = os.environ.get("CONDA_PREFIX")
    if conda and (Path(conda) / "lib" / "libhdf5.so").exists():
        # Cells link to the environment's HDF5, and find it when they are loaded.
        os.environ.setdefault("HDF5_DIR", conda)
        search = [f"{conda}/lib", os.environ.get("LD_LIBRARY_PATH", "")]
        os.environ["LD_LIBRARY_PATH"] = ":".join(folder for folder in search if folder)
        os.environ.setdefault("RUSTFLAGS", f"-C link-arg=-Wl,-rpath,{conda}/lib")
    find_cargo(slot)
    os.execv(binary, [binary, "--control_file", connection])


if __name__ == "__main__":
    main()
