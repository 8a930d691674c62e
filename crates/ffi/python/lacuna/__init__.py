"""Trained closures of lacuna in NumPy: open a checkpoint, ask for draws of the missing term H given the vorticity.

    closure = lacuna.Closure("checkpoint.lacuna")
    closure.seed(20771, "rollout/0")
    h = closure.sample(w, t)          # (n, n) doubles, axis 0 = x

The shared library is the one beside this file, or the one that LACUNA_LIBRARY names.
"""

import ctypes
import os
import sys
from pathlib import Path

import numpy as np

__all__ = ["Closure", "LacunaError", "version"]

_NAME = {"darwin": "liblacuna_ffi.dylib", "win32": "lacuna_ffi.dll"}.get(sys.platform, "liblacuna_ffi.so")
_FIELD = np.ctypeslib.ndpointer(dtype=np.float64, ndim=2, flags="C_CONTIGUOUS")
_OUT = np.ctypeslib.ndpointer(dtype=np.float64, ndim=2, flags=("C_CONTIGUOUS", "WRITEABLE"))
_TEXT, _MODEL, _STATUS, _TIME = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_double
# Result and arguments of every function of lacuna.h.
_FUNCTIONS = {
    "version": (_TEXT,),
    "last_error": (_TEXT,),
    "open": (_MODEL, _TEXT),
    "copy": (_MODEL, _MODEL),
    "close": (None, _MODEL),
    "grid": (_STATUS, _MODEL),
    "seed": (_STATUS, _MODEL, ctypes.c_uint64, _TEXT),
    "sample": (_STATUS, _MODEL, _FIELD, _TIME, _OUT),
    "mean": (_STATUS, _MODEL, _FIELD, _TIME, _OUT),
    "fluctuation": (_STATUS, _MODEL, _FIELD, _TIME, _FIELD, _OUT),
}


class LacunaError(RuntimeError):
    """What the library says of a call that failed."""


def _load():
    path = os.environ.get("LACUNA_LIBRARY") or str(Path(__file__).with_name(_NAME))
    library = ctypes.CDLL(path)
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(library, f"lacuna_{name}")
        function.restype, function.argtypes = result, arguments
    return library


_LIBRARY = _load()


def version():
    """The version of the library."""
    return _LIBRARY.lacuna_version().decode()


def _failed():
    return LacunaError(_LIBRARY.lacuna_last_error().decode())


class Closure:
    """A trained closure with a random stream of its own. `copy()` gives another thread its own."""

    def __init__(self, path):
        self._take(_LIBRARY.lacuna_open(os.fsencode(path)))

    def _take(self, model):
        if not model:
            raise _failed()
        self._model = model
        self.n = self._checked(_LIBRARY.lacuna_grid(model))

    def copy(self):
        """Another handle with the same weights and the same state of the stream."""
        other = object.__new__(type(self))
        other._take(_LIBRARY.lacuna_copy(self._model))
        return other

    def close(self):
        """Frees the weights; happens by itself when nothing refers to the closure any more."""
        model, self._model = getattr(self, "_model", None), None
        if model:
            _LIBRARY.lacuna_close(model)

    __del__ = close

    def seed(self, root, path):
        """Begins the stream `path` of the seed tree of `root`, as in "rollout/0" for member 0 of an ensemble."""
        self._checked(_LIBRARY.lacuna_seed(self._model, root, path.encode()))

    def sample(self, w, t=0.0, out=None):
        """A draw of H given the vorticity `w` (n, n) at time `t`."""
        return self._field(_LIBRARY.lacuna_sample, out, self._given(w), t)

    def mean(self, w, t=0.0, out=None):
        """The conditional mean of H."""
        return self._field(_LIBRARY.lacuna_mean, out, self._given(w), t)

    def fluctuation(self, w, mean, t=0.0, out=None):
        """A draw of H less its conditional mean, which :meth:`mean` has made."""
        return self._field(_LIBRARY.lacuna_fluctuation, out, self._given(w), t, self._given(mean))

    def _given(self, values):
        field = np.ascontiguousarray(values, dtype=np.float64)
        if field.shape != (self.n, self.n):
            raise LacunaError(f"a field of shape {field.shape}, the closure takes ({self.n}, {self.n})")
        return field

    def _field(self, function, out, *given):
        out = np.empty((self.n, self.n)) if out is None else out
        if out.shape != (self.n, self.n):
            raise LacunaError(f"room for a field of shape {out.shape}, the closure makes ({self.n}, {self.n})")
        self._checked(function(self._model, *given, out))
        return out

    @staticmethod
    def _checked(status):
        if status < 0:
            raise _failed()
        return status
