"""Trained closures of lacuna in NumPy: open a checkpoint, ask for draws of the missing term H given the vorticity ω.

    closure = lacuna.Closure("checkpoint.lacuna")
    closure.seed(20771, "rollout/0")
    h = closure.sample(w, t)          # (n, n) doubles, axis 0 = x

The shared library is the one beside this file, or the one that LACUNA_LIBRARY names.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Closure", "LacunaError", "version"]

_NAME = {"darwin": "liblacuna_ffi.dylib", "win32": "lacuna_ffi.dll"}.get(sys.platform, "liblacuna_ffi.so")
_FIELD = ctypes.POINTER(ctypes.c_double)
_TEXT, _MODEL, _INT, _TIME = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_double
# Result and arguments of every function of lacuna.h.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "version": (_TEXT,),
    "last_error": (_TEXT,),
    "open": (_MODEL, _TEXT),
    "copy": (_MODEL, _MODEL),
    "close": (None, _MODEL),
    "grid": (_INT, _MODEL),
    "seed": (_INT, _MODEL, ctypes.c_uint64, _TEXT),
    "sample": (_INT, _MODEL, _INT, _FIELD, _TIME, _FIELD),
    "mean": (_INT, _MODEL, _INT, _FIELD, _TIME, _FIELD),
    "fluctuation": (_INT, _MODEL, _INT, _FIELD, _TIME, _FIELD, _FIELD),
}


class LacunaError(RuntimeError):
    """A call that failed, with the library's words for it."""


def _load() -> ctypes.CDLL:
    path = os.environ.get("LACUNA_LIBRARY") or str(Path(__file__).with_name(_NAME))
    if not os.path.isfile(path):
        raise ImportError(f"no library {path}: install the wheel (make wheel), or name the library in LACUNA_LIBRARY")
    library = ctypes.CDLL(path)
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(library, f"lacuna_{name}")
        function.restype, function.argtypes = result, arguments
    return library


_LIBRARY = _load()


def version() -> str:
    """The version of the library."""
    return _LIBRARY.lacuna_version().decode()


def _failed() -> LacunaError:
    return LacunaError(_LIBRARY.lacuna_last_error().decode())


class Closure:
    """A trained closure with a random stream of its own.

    Fields are (n, n) arrays on a doubly periodic square, axis 0 = x, in the units of the training data: ω in 1/time, H in
    1/time². Threads may share a closure, and then wait for each other and take their draws from one stream; :meth:`copy`
    gives a thread its own. Draws release the interpreter's lock.

    Parameters
    ----------
    path
        A checkpoint of ``lacuna train``, or a ``model.safetensors`` of ``lacuna export`` or its folder.

    Raises
    ------
    LacunaError
        The file cannot be read, or is no whole checkpoint.
    """

    n: int
    """Points per side of the fields."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._take(_LIBRARY.lacuna_open(os.fsencode(path)))

    def _take(self, model: int | None) -> None:
        if not model:
            raise _failed()
        self._model: int | None = model
        self.n = self._checked(_LIBRARY.lacuna_grid(model))

    def copy(self) -> Closure:
        """Another closure with the same weights and the same state of the stream."""
        other: Closure = object.__new__(type(self))
        other._take(_LIBRARY.lacuna_copy(self._model))
        return other

    def close(self) -> None:
        """Frees the weights; happens by itself when nothing refers to the closure any more."""
        model, self._model = getattr(self, "_model", None), None
        if model:
            _LIBRARY.lacuna_close(model)

    __del__ = close

    def __enter__(self) -> Closure:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def seed(self, root: int, path: str) -> None:
        """Begins a random stream: the same draws follow whenever it is begun.

        Parameters
        ----------
        root
            The root of the seed tree, 0 to 2⁶⁴ − 1: ``seed`` of the configuration.
        path
            Names from the root to the stream, as in "rollout/0" for member 0 of an ensemble.
        """
        if not 0 <= root < 2**64:
            raise LacunaError(f"seed {root}; must be from 0 to 2**64 - 1")
        self._checked(_LIBRARY.lacuna_seed(self._model, root, path.encode()))

    def sample(self, w: ArrayLike, t: float = 0.0, out: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """A draw of H given the vorticity `w` (n, n) at time `t`, written to `out` where that is given."""
        return self._field(_LIBRARY.lacuna_sample, out, t, self._given(w))

    def mean(self, w: ArrayLike, t: float = 0.0, out: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The conditional mean of H given the vorticity `w` (n, n) at time `t`."""
        return self._field(_LIBRARY.lacuna_mean, out, t, self._given(w))

    def fluctuation(
        self, w: ArrayLike, mean: ArrayLike, t: float = 0.0, out: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """A draw of H less its conditional mean, which :meth:`mean` has made, for loops that hold or scale it."""
        return self._field(_LIBRARY.lacuna_fluctuation, out, t, self._given(w), self._given(mean))

    def _given(self, values: ArrayLike) -> NDArray[np.float64]:
        field = np.asarray(values)
        if field.dtype.kind not in "fiu":
            raise LacunaError(f"a field of {field.dtype}; must be real numbers")
        if field.shape != (self.n, self.n):
            raise LacunaError(f"a field of shape {field.shape}; the closure takes ({self.n}, {self.n})")
        return np.ascontiguousarray(field, dtype=np.float64)

    def _field(self, function: Any, out: Any, t: float, w: NDArray[np.float64], *rest: NDArray[np.float64]) -> Any:
        if out is None:
            out = np.empty((self.n, self.n))
        elif not (isinstance(out, np.ndarray) and out.dtype == np.float64 and out.shape == (self.n, self.n)):
            raise LacunaError(f"`out` must be an array of float64 of shape ({self.n}, {self.n})")
        elif not (out.flags.c_contiguous and out.flags.writeable) or any(np.may_share_memory(out, a) for a in (w, *rest)):
            raise LacunaError("`out` must be contiguous, writeable, and no part of the given fields")
        pointers = [array.ctypes.data_as(_FIELD) for array in (w, *rest, out)]
        self._checked(function(self._model, self.n, pointers[0], t, *pointers[1:]))
        return out

    @staticmethod
    def _checked(status: int) -> int:
        if status < 0:
            raise _failed()
        return status
