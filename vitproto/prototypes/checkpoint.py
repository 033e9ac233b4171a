"""Checkpoints: fitted prototypes and their settings in a safetensors file.

Nothing is unpickled: a checkpoint from a stranger can be wrong, but it cannot run code.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from vitproto.core.files import whole_file
from vitproto.core.tensors_file import (
    naming_damage,
    read_header,
    read_tensors,
    write_tensors,
)
from vitproto.core.unreadable import unreadable
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.scorer import (
    CentredDotProduct,
    DotProduct,
    NegativeDistance,
    Scorer,
    StoredScorer,
)
from vitproto.study.family import FittedFamily, check_family, check_runs
from vitproto.study.run import Run

_REMEDY = "delete it and run again"
_DAMAGED = "delete it and the checkpoints.json that lists it, and run again"

# What a list may lack, or say otherwise.
_DAMAGES = (OSError, ValueError, KeyError, TypeError, AttributeError)

KINDS = {
    cls.KIND: cls
    for cls in (DotProduct, CentredDotProduct, NegativeDistance, SparseAutoencoder)
}
"""The scorers that a checkpoint may hold, by what it calls them."""

T = TypeVar("T")


def save(path: Path, scorer: StoredScorer, settings: Mapping[str, Any]) -> None:
    """Write a scorer and the settings that made it.

    Args:
        path: a `.safetensors` file, written completely or not at all.
        scorer: the prototypes.
        settings: any JSON.
    """
    # Without `KINDS`, so that a fit does not depend on the code of other methods.
    arguments = {name: getattr(scorer, name) for name in scorer.ARGUMENTS}
    tensors = {name: v for name, v in arguments.items() if isinstance(v, Tensor)}
    numbers = {name: v for name, v in arguments.items() if name not in tensors}
    header = {"scorer": scorer.KIND, "arguments": numbers, "settings": settings}
    write_tensors(path, tensors, header)


def load(path: Path | str) -> Scorer:
    """Read a scorer of any kind.

    Raises:
        ValueError: the file is damaged or was not written by `save`.
    """
    kind = _read_header(Path(path))["scorer"]
    if kind not in KINDS:
        raise ValueError(
            f"{path} holds a scorer of the unknown kind {kind!r}; this version of "
            f"vitproto knows {', '.join(KINDS)}"
        )
    return load_as(path, KINDS[kind])


def load_as(path: Path | str, cls: type[T]) -> T:
    """Read a scorer of one kind. Callers then depend on the code of that kind only.

    Raises:
        ValueError: the file is damaged or holds another kind.
    """
    header = _read_header(Path(path))
    if header["scorer"] != cls.KIND:
        raise ValueError(
            f"{path} holds a scorer of kind {header['scorer']!r}, expected "
            f"{cls.KIND!r}: delete it and fit it again"
        )
    tensors = read_tensors(Path(path), _DAMAGED)
    with naming_damage(Path(path), _DAMAGED):
        return cls(**tensors, **header["arguments"])


def stored_at(store: Path, run: Run, settings: Mapping[str, Any]) -> Path:
    """The path of a run's checkpoint in a store.

    The name ends in a digest of everything that made it: settings, data and code. So
    studies can share a store: a checkpoint made in another way has another name.
    """
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return store / f"{run.name}.{digest}.safetensors"


def is_stored(path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the checkpoint exists.

    Raises:
        ValueError: the file is damaged, or other settings made it.
    """
    if not path.is_file():
        return False
    stored = read_settings(path)
    read_tensors(path, _DAMAGED)
    wanted = json.loads(json.dumps(settings))
    if stored == wanted:
        return True
    keys = sorted(stored.keys() | wanted.keys())
    key = next(key for key in keys if stored.get(key) != wanted.get(key))
    raise ValueError(
        f"{path} was made with {key} {stored.get(key)!r}, but its name says "
        f"{wanted.get(key)!r}: it was renamed or edited by hand. Delete it and run "
        "again"
    )


def read_kind(path: Path | str) -> str:
    """Read the kind of scorer in a checkpoint, without its weights."""
    return _read_header(Path(path))["scorer"]


def read_settings(path: Path | str) -> dict[str, Any]:
    """Read the settings that made a checkpoint, without its weights."""
    header = _read_header(Path(path))
    with naming_damage(Path(path), _DAMAGED):
        return header["settings"]


def _read_header(path: Path) -> dict[str, Any]:
    header = read_header(path, _DAMAGED)
    if not header:
        raise ValueError(
            f"{path} is a safetensors file, but was not written by vitproto: write the "
            "path of a checkpoint"
        )
    with naming_damage(path, _DAMAGED):
        return {"scorer": header["scorer"], **header}


@dataclass(frozen=True)
class FittedRun:
    """A run of a family, and its checkpoint."""

    name: str
    """The name of the run, for `Run.parse`."""
    path: str
    sha256: str

    @property
    def run(self) -> Run:
        return Run.parse(self.name)


def write_manifest(
    path: Path, fitted: Mapping[Run, Path], family: FittedFamily
) -> None:
    """Write a list of a family's checkpoints and their digests, in the given order."""
    runs = [
        FittedRun(run.name, str(file), _sha256(file)) for run, file in fitted.items()
    ]
    with whole_file(path) as partial:
        content = {**asdict(family), "runs": [asdict(run) for run in runs]}
        partial.write_text(json.dumps(content, indent=2) + "\n")


def read_manifest(
    path: Path, family: FittedFamily, runs: Collection[str]
) -> Sequence[FittedRun]:
    """Read the list that `write_manifest` wrote, and check it.

    Args:
        path: the JSON file.
        family: the expected family.
        runs: the names of all expected runs.

    Raises:
        ValueError: the file is damaged or lists another family or other runs, or a
            checkpoint is missing or has changed.
    """
    fitted = _read_manifest(path, family)
    check_runs(path, [fit.name for fit in fitted], runs, _REMEDY)
    return fitted


def find_run(manifest: Path, family: FittedFamily, name: str) -> FittedRun:
    """Find a run by name in the list of its family.

    Args:
        manifest: the JSON file that lists the family's checkpoints.
        family: the expected family.
        name: the run's name, as in `Run.name`.

    Raises:
        ValueError: the list has no such run, or is invalid as in `read_manifest`.
    """
    fitted = {fit.name: fit for fit in _read_manifest(manifest, family)}
    if name not in fitted:
        raise ValueError(
            f"{manifest} lists no run {name}: write one of {', '.join(fitted)}"
        )
    return fitted[name]


def _read_manifest(path: Path, family: FittedFamily) -> list[FittedRun]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fitted = [FittedRun(**run) for run in content["runs"]]
        names = [fit.run.name for fit in fitted]
    except _DAMAGES as error:
        raise unreadable(
            path,
            error,
            f"{path} is damaged or not a list of checkpoints "
            f"({type(error).__name__}: {error}): {_REMEDY}",
        ) from error
    check_family(path, content, family, _REMEDY)
    if len(set(names)) < len(names):
        raise ValueError(f"{path} lists a run twice: {_REMEDY}")
    for fit in fitted:
        if not Path(fit.path).is_file():
            raise ValueError(
                f"{path} lists {fit.path}, which is missing: delete {path} and run "
                "again"
            )
        if _sha256(Path(fit.path)) != fit.sha256:
            read_tensors(Path(fit.path), _DAMAGED)
            raise ValueError(
                f"{fit.path} has changed since {path} was written, by another study or "
                f"by hand: delete {path} and run again"
            )
    return fitted


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
