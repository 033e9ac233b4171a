"""Make numba recompile cached kernels when any source that they use changes.

By default numba checks only the file of a kernel. But a kernel contains the kernels and
constants of other files that it uses, as they were when it was compiled.
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
    """Cache of kernels beside their sources."""

    def get_source_stamp(self) -> bytes:
        """A digest of the sources; a kernel with another one is compiled again."""
        return digest_with_imports(Path(self._py_file), PROJECT)


class OfUser(UserWideCacheLocator):
    """Cache of kernels in a folder of the user, for read-only sources."""

    def get_source_stamp(self) -> bytes:
        """A digest of the sources; a kernel with another one is compiled again."""
        return digest_with_imports(Path(self._py_file), PROJECT)


@cache
def digest_with_imports(source: Path, project: Path) -> bytes:
    """A digest of a source file and of all our files that it imports, even indirectly.

    Args:
        source: the file; it may belong to another package.
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
    """The file of a module; for a package all its files, which an import may name."""
    path = project.joinpath(*name.split("."))
    return [path.with_suffix(".py"), *path.glob("*.py")]
