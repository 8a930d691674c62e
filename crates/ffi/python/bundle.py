"""Puts the shared library that cargo has built beside the module, and names the wheel after the platform."""

import os
import subprocess
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

ROOT = Path(__file__).resolve().parent.parent.parent.parent
NAME = {"darwin": "liblacuna_ffi.dylib", "win32": "lacuna_ffi.dll"}.get(sys.platform, "liblacuna_ffi.so")


class Bundle(BuildHookInterface):
    def initialize(self, version, build_data):
        library = Path(os.environ.get("LACUNA_LIBRARY") or ROOT / "target" / "release" / NAME)
        if not library.is_file():
            sys.exit(f"no library {library}: cargo build --release --workspace --lib builds it, LACUNA_LIBRARY names another")
        build_data["force_include"][str(library)] = f"lacuna/{NAME}"
        for text in ("LICENSE-MIT", "LICENSE-APACHE"):
            build_data["force_include"][str(ROOT / text)] = f"lacuna/{text}"
        notices = library.with_name("lacuna_ffi-notices.txt")
        subprocess.run([sys.executable, ROOT / "scripts" / "notices.py", "lacuna-ffi", notices], cwd=ROOT, check=True)
        build_data["force_include"][str(notices)] = "lacuna/THIRD-PARTY.txt"
        build_data["pure_python"] = False
        # The library needs the C library of the machine that built it, or a later one.
        build_data["tag"] = f"py3-none-{next(iter(platform_tags()))}"
