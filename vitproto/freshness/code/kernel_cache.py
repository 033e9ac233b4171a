"""Compiled kernels that numba keeps on disk, and is to use only for today's sources.

Numba goes by the file of a kernel alone. But a kernel holds all that it uses of other
files, kernels and constants, as they were when it was compiled.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from numba.core.caching import InTreeCacheLocator, UserWideCacheLocator

from vitproto.core.project import PROJECT

_IMPORT = re.compile(r"^\s*(?:from|import)\s+(vitproto[\w.]*)", re.MULTILINE)


class BesideSources(InTreeCacheLocator):
    """Kernels that lie beside their sources."""

    def get_source_stamp(self) -> bytes:
        """What the sources must be for a kernel to count."""
        return digest_with_imports(Path(self._py_file), PROJECT)


class OfUser(UserWideCacheLocator):
    """Kernels that lie in a folder of the user, where sources are only to be read."""

    def get_source_stamp(self) -> bytes:
        """What the sources must be for a kernel to count."""
        return digest_with_imports(Path(self._py_file), PROJECT)


@cache
def digest_with_imports(source: Path, project: Path) -> bytes:
    """A digest of a source file and of all of ours that it imports, directly or not.

    Args:
        source: the file; it may be one of others.
        project: the folder that holds the package.

    Returns:
        32 bytes.
    """
    texts = {source: source.read_bytes()}
    waiting = [source]
    while waiting:
        text = texts[waiting.pop()].decode(errors="replace")
        for name in _IMPORT.findall(text):
            for file in _files_of(name, project):
                if file not in texts and file.is_file():
                    texts[file] = file.read_bytes()
                    waiting.append(file)
    digest = hashlib.sha256()
    for file in sorted(texts):
        digest.update(hashlib.sha256(texts[file]).digest())
    return digest.digest()


def _files_of(name: str, project: Path) -> Iterable[Path]:
    """The file of a module; all of a package, whose modules an import may name."""
    path = project.joinpath(*name.split("."))
    return [path.with_suffix(".py"), *path.glob("*.py")]
