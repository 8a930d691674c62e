#!/usr/bin/env bash
# What a fresh machine with Rust and Python needs.  Called by make:
#   scripts/setup.sh system    libraries the crate links to, and a C compiler
#   scripts/setup.sh fortran   gfortran, if it can be had: only `make ffi` wants it
#   scripts/setup.sh jupyter   Python environment, Rust kernel, kernel specification
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

EVCXR_VERSION=0.22.0
# mold is not required, but every notebook cell links a shared library: it saves a second or two per cell.
PACKAGES=(gcc libc6-dev make pkg-config libhdf5-dev mold)
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

system() {
    command -v cargo >/dev/null || die "cargo not found; install Rust 1.95 or later from https://rustup.rs"
    if [ -n "${CONDA_PREFIX:-}" ]; then
        [ -e "$CONDA_PREFIX/lib/libhdf5.so" ] || [ -e "$CONDA_PREFIX/lib/libhdf5.dylib" ] ||
            die "no HDF5 in $CONDA_PREFIX; create the environment with: conda env create -f environment.yml"
        say "conda environment $CONDA_PREFIX"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        if pkg-config --exists hdf5 2>/dev/null && command -v cc >/dev/null; then
            say "HDF5 $(pkg-config --modversion hdf5) and a C compiler are there"
            return
        fi
        die "not a Debian or Ubuntu machine: install a C compiler, pkg-config and the HDF5 development files (Fedora:
       hdf5-devel, Arch: hdf5, macOS: brew install hdf5 pkg-config), or use conda (environment.yml); then run make again"
    fi
    local missing=() package
    for package in "${PACKAGES[@]}"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    # The system Python of Debian comes without venv.
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    if [ ${#missing[@]} -eq 0 ]; then
        say "system packages are there: ${PACKAGES[*]}"
        return
    fi
    say "installing ${missing[*]}"
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "not root and no sudo: ask for these packages: ${missing[*]}"
        sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

fortran() {
    if command -v gfortran >/dev/null; then
        say "gfortran is there"
    elif [ -z "${CONDA_PREFIX:-}" ] && command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] &&
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gfortran; then
        say "installed gfortran"
    else
        say "no gfortran, and none that can be installed from here: the loop in Fortran is left out"
    fi
}

kernel_binary() {
    local cargo_bin=${CARGO_HOME:-$HOME/.cargo}/bin
    if [ -n "${CONDA_PREFIX:-}" ] && [ -x "$CONDA_PREFIX/bin/evcxr_jupyter" ]; then
        echo "$CONDA_PREFIX/bin/evcxr_jupyter"
    else
        echo "$cargo_bin/evcxr_jupyter"
    fi
}

jupyter() {
    if [ -z "${CONDA_PREFIX:-}" ]; then
        [ -x "$VENV/bin/python" ] || { say "creating $VENV"; "$PYTHON" -m venv "$VENV"; }
        say "Python packages of requirements.txt"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    fi

    local kernel
    kernel=$(kernel_binary)
    if [ -n "${CONDA_PREFIX:-}" ] && [ -x "$CONDA_PREFIX/bin/evcxr_jupyter" ]; then
        say "Rust kernel of the conda environment"
    elif [ -x "$kernel" ] && cargo install --list | grep -q "^evcxr_jupyter v$EVCXR_VERSION:"; then
        say "evcxr_jupyter $EVCXR_VERSION is there"
    else
        say "building evcxr_jupyter $EVCXR_VERSION (once; five to fifteen minutes on two cores)"
        cargo install --locked "evcxr_jupyter@$EVCXR_VERSION"
    fi

    # The specification lives in the environment, so nothing outside this clone changes.
    local spec=$VENV/share/jupyter/kernels/rust
    mkdir -p "$spec"
    SPEC=$spec KERNEL=$kernel ROOT=$PWD "$VENV/bin/python" - <<'PY'
import json, os, sys
spec = {
    "argv": [sys.executable, os.environ["ROOT"] + "/scripts/kernel.py", os.environ["KERNEL"], "{connection_file}"],
    "display_name": "Rust",
    "language": "rust",
    "interrupt_mode": "message",
}
with open(os.path.join(os.environ["SPEC"], "kernel.json"), "w", encoding="utf-8") as file:
    json.dump(spec, file, indent=2)
PY
    say "kernel specification in $spec"
}

case ${1:-} in
    system) system ;;
    fortran) fortran ;;
    jupyter) jupyter ;;
    *) die "usage: scripts/setup.sh system|fortran|jupyter" ;;
esac
