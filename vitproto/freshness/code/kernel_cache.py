"""Make numba recompile cached kernels when any source that they use changes.

By default numba checks only the file of a kernel. But a kernel contains the kernels and
constants of other files that it uses, as they were when it was compiled.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from stat import S_ISDIR, S_IWGRP, S_IWOTH

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


class Temporary(OfUser):
    """Cache of kernels in a folder for temporary files, for users without a home.

    Without any folder, numba would refuse to compile.
    """

    def __init__(self, py_func: Callable, py_file: str):
        super().__init__(py_func, py_file)
        subfolder = self.get_suitable_cache_subpath(py_file)
        self._cache_path = str(_own_folder() / subfolder)


@cache
def _own_folder() -> Path:
    """A folder that only this user can write to, since what is read from it runs."""
    folder = Path(tempfile.gettempdir()) / f"vitproto-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    stat = folder.lstat()
    is_own = S_ISDIR(stat.st_mode) and stat.st_uid == os.getuid()
    if is_own and not stat.st_mode & (S_IWGRP | S_IWOTH):
        return folder
    return Path(tempfile.mkdtemp(prefix="vitproto-kernels-"))


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
