"""Compiling kernels with numba, and keeping them on disk.

Numba keeps what it compiled beside the source, or where ``NUMBA_CACHE_DIR`` says. Here that is a help and never needed:
files that are damaged are written anew, and where nothing can be written a kernel is compiled in every process. Signals
wait until a kernel is compiled, since the compiler neither passes on an exception nor survives it.
"""

import functools
import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import is_jitted

from permsolve.errors import SolverUnavailableError
from permsolve.signals import signals_wait

_log = logging.getLogger(__name__)
# A library is quiet unless the program wants to hear of it. Not in the package's __init__: loading it takes too long.
logging.getLogger("permsolve").addHandler(logging.NullHandler())
_REMEDY = "set NUMBA_CACHE_DIR to a folder that can be written to"

_COMPILES = is_jitted(numba.njit(lambda: None))


def njit(function: Callable[..., Any] | None = None, *, cache: bool = False, **options: Any) -> Any:
    """``numba.njit`` for kernels of this package.

    Parameters
    ----------
    function : callable, optional
        The kernel; without it a decorator is returned.
    cache : bool, default False
        Whether to keep it on disk.
    **options
        Of ``numba.njit``.
    """
    if function is None:
        return lambda kernel: njit(kernel, cache=cache, **options)
    dispatcher: Any = numba.njit(**options)(function)
    if not _COMPILES:
        return dispatcher
    compile_one = dispatcher.compile

    @functools.wraps(compile_one)
    def compile_whole(signature: Any) -> Any:
        with signals_wait():
            return compile_one(signature)

    dispatcher.compile = compile_whole
    if cache:
        try:
            dispatcher._cache = _Kept(function)
        except (RuntimeError, OSError) as error:  # numba's word for: no folder can be written to
            _log.debug("%s", error)
            _say_once(f"kernels are compiled anew each time, since they can be kept nowhere: {_REMEDY}")
    return dispatcher


def intrinsic(function: Callable[..., Any]) -> Any:
    """``numba.extending.intrinsic``: code that exists compiled alone.

    Raises
    ------
    SolverUnavailableError
        When it is called while numba's compiler is switched off.
    """
    if _COMPILES:
        return numba.extending.intrinsic(function)

    def refuse(*_: object) -> None:
        raise SolverUnavailableError("this needs numba's compiler, which NUMBA_DISABLE_JIT switches off: unset it")

    return refuse


class _Kept(FunctionCache):
    """Numba's cache of one function, whose files are checked before they are used."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Sealed(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel, if that can be done."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            reason = error.strerror or str(error)
            _say_once(f"kernels are compiled anew each time, since {self._cache_path} takes none ({reason}): {_REMEDY}")


class _Sealed(IndexDataCacheFile):
    """Numba's files of one function, each of which ends in a checksum: what is damaged is as good as not there.

    The file of a kernel is named after its signature: two processes that write at the same time write the same.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep a kernel: the code first, so that no index speaks of what is not there."""
        name = f"{self._index_name.removesuffix('.nbi')}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"
        self._save_data(name, data)
        overloads = self._load_index()
        if overloads.get(key) != name:
            self._save_index({**overloads, key: name})

    def _load_index(self) -> dict[Any, str]:
        index: dict[Any, str] = super()._load_index() if _is_whole(self._index_path) else {}
        return index

    def _load_data(self, name: str) -> Any:
        if not _is_whole(self._data_path(name)):
            raise FileNotFoundError(name)  # by which numba knows that it must compile
        return super()._load_data(name)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[IO[bytes]]:
        content = io.BytesIO()
        yield content
        with super()._open_for_write(filepath) as file:
            file.write(content.getvalue() + _seal(content.getvalue()))


def _seal(content: bytes) -> bytes:
    """The checksum that follows a content, which numba does not read."""
    return hashlib.sha256(numba.__version__.encode() + content).digest()


def _is_whole(path: str) -> bool:
    """Whether a file is there, can be read, and is what was written."""
    with suppress(OSError), open(path, "rb") as file:
        content = file.read()
        size = len(content) - len(_seal(b""))
        return size >= 0 and content[size:] == _seal(content[:size])
    return False


@functools.cache
def _say_once(message: str) -> None:
    _log.warning("%s", message)
