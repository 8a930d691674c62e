#!/usr/bin/env bash
# Builds the CUDA binary where neither LLVM nor a CUDA toolkit nor a GPU is at hand (`make cuda`), and packs it with the
# libraries that it needs: target/cuda/lacuna-cuda.tar.xz, to be unpacked on the machine with the card.
#
# From burn 0.22.0 on, its `cuda` feature needs LLVM at build time. 0.22.0-pre.2 has the same interface and compiles its
# kernels on the card's machine instead (NVRTC), so this build uses that release: a copy of the manifest and of the lock
# file in .cache/cuda, with the sources linked, and a target directory of its own, so that neither build disturbs the other.
#
#   scripts/cuda.sh [check|build] [cargo options, e.g. -j1]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

BURN=0.22.0-pre.2
what=${1:-build}
shift || true
copy=.cache/cuda
target=$PWD/target/cuda
mkdir -p "$copy"
for name in src crates assets tests benches README.md; do ln -sfn "../../$name" "$copy/$name"; done
# That release has no feature `rayon`: its CPU backend is always built with it.
sed '/^burn = /s/"rayon", //' Cargo.toml >"$copy/Cargo.toml"
# Chosen anew only when the crate's own versions changed.
if ! cmp -s Cargo.lock "$copy/Cargo.lock.crate"; then
    cp Cargo.lock "$copy/Cargo.lock"
    cargo update --quiet --manifest-path "$copy/Cargo.toml" -p burn --precise "$BURN"
    cp Cargo.lock "$copy/Cargo.lock.crate"
fi
grep -A1 '^name = "burn"$' "$copy/Cargo.lock" | grep -qF "\"$BURN\"" || { echo "cuda: burn is not pinned to $BURN" >&2; exit 1; }

export CARGO_TARGET_DIR=$target CARGO_PROFILE_RELEASE_STRIP=symbols
if [ "$what" = check ]; then
    cargo check --release --locked --manifest-path "$copy/Cargo.toml" --features cuda "$@"
    echo "cuda: compiles with burn $BURN"
    exit
fi
cargo build --release --locked --manifest-path "$copy/Cargo.toml" --features cuda --bin lacuna "$@"

binary=$target/release/lacuna
bundle=$target/bundle
rm -rf "$bundle" && mkdir -p "$bundle/lib"
cp "$binary" "$bundle/"
# HDF5 and what it links to; the C library, the compiler's run-time library and the driver are the other machine's own.
libraries=()
while read -r name path; do
    case $name in
        libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libgcc_s.so* | libstdc++.so* | libcuda* | libnvrtc*) ;;
        *) cp -L "$path" "$bundle/lib/$name" && libraries+=("$path") ;;
    esac
done < <(ldd "$binary" | awk '/=> \// { print $1, $3 }')
cp LICENSE LICENSE-MIT LICENSE-APACHE "$bundle/"
python3 scripts/notices.py lacuna "$bundle/THIRD-PARTY.txt" --lib "${libraries[@]}" -- --manifest-path "$copy/Cargo.toml" --features cuda
cp bench/gpu.sh bench/train_torch.py bench/pytorch_fixture.py "$bundle/"
tar -C "$bundle" -cJf "$target/lacuna-cuda.tar.xz" .
size() { stat -c %s "$1" | awk '{ printf "%.1f MB", $1 / 1e6 }'; }
echo "cuda: $binary, stripped: $(size "$binary"); with its libraries, packed: $(size "$target/lacuna-cuda.tar.xz")"
