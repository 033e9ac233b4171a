"""Files of tensors: safetensors with a header of ours and a checksum of each tensor.

Nothing is unpickled: a file from a stranger can be wrong, but it cannot run code.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from vitproto.core.checksums import checksum
from vitproto.core.files import whole_file
from vitproto.core.unreadable import UnreadableError, unreadable

# A single key, because safetensors writes several keys in random order, and the same
# tensors must give the same bytes.
_KEY = "vitproto"
_CHECKSUMS = "checksums"
"""The entry of a header with the checksums of tensors, and, as `header`, of all its
other entries."""
_OWN = "header"

# What is raised depends on what is damaged; ValueError covers JSON and UTF-8.
_DAMAGES = (
    *(OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError),
    RuntimeError,
)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and what is to be known of them.

    Args:
        path: a `.safetensors` file, written completely or not at all.
        tensors: on the CPU.
        header: any JSON; not empty.
    """
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    checksums = {name: checksum(t.numpy()) for name, t in contiguous.items()}
    assert _OWN not in checksums, "no tensor may have this name"
    checksums[_OWN] = _digest(header)
    text = json.dumps({**header, _CHECKSUMS: checksums}, sort_keys=True)
    with whole_file(path) as partial:
        # Stores are shared, but files of `save_file` are readable by their owner only.
        partial.write_bytes(to_bytes(contiguous, {_KEY: text}))


def read_header(path: Path, remedy: str) -> dict[str, Any]:
    """Read the header of a file without its tensors; empty if it is not one of ours.

    Args:
        path: the file.
        remedy: what to do if it is damaged, such as "delete it and train again".

    Raises:
        UnreadableError: the file is missing or damaged.
    """
    header, checksums = _read(path, remedy)
    with naming_damage(path, remedy):
        if checksums is not None and checksums[_OWN] != _digest(header):
            raise ValueError("the header does not match its checksum")
    return header


def read_tensors(path: Path, remedy: str) -> dict[str, Tensor]:
    """Read the tensors of a file, and compare them with their checksums.

    Raises:
        UnreadableError: the file is missing or damaged.
    """
    read_header(path, remedy)
    _, checksums = _read(path, remedy)
    with naming_damage(path, remedy), safe_open(path, framework="pt") as file:
        if checksums is None:
            raise UnreadableError(
                f"{path} has no checksums, because an earlier version wrote it: "
                f"{remedy}"
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for name, tensor in tensors.items():
            if checksum(tensor.numpy()) != checksums[name]:
                raise ValueError(f"the values of {name} do not match their checksum")
        return tensors


def _read(path: Path, remedy: str) -> tuple[dict[str, Any], dict[str, str] | None]:
    """The header, and the checksums in it; None if there are none."""
    with naming_damage(path, remedy), safe_open(path, framework="pt") as file:
        header = dict(json.loads((file.metadata() or {}).get(_KEY, "{}")))
        checksums = header.pop(_CHECKSUMS, None)
        return header, None if checksums is None else dict(checksums)


def _digest(header: Mapping[str, Any]) -> str:
    text = json.dumps(json.loads(json.dumps(header)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def naming_damage(path: Path, remedy: str) -> Iterator[None]:
    """Whatever is raised in the block is damage of the file."""
    try:
        yield
    except UnreadableError:
        raise
    except _DAMAGES as error:
        raise _damaged(path, error, remedy) from error


def _damaged(path: Path, error: Exception, remedy: str) -> UnreadableError:
    why = str(error).strip().split("\n")[0]
    text = f"{path} is damaged ({type(error).__name__}: {why}): {remedy}"
    return unreadable(path, error, text)
