"""Fitted prototypes on disk: safetensors, with the settings that made them inside.

Nothing is ever unpickled: a checkpoint from a stranger can be wrong, but it cannot
run code.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from vitproto.core.files import whole_file
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

# One key: safetensors writes several in an order that changes from run to run, and
# the same prototypes must give the same bytes.
_KEY = "vitproto"

_REMEDY = "delete it and run again"

KINDS = {
    cls.KIND: cls
    for cls in (DotProduct, CentredDotProduct, NegativeDistance, SparseAutoencoder)
}
"""The scorers that a checkpoint may hold, by what it calls them."""

T = TypeVar("T")


def save(path: Path, scorer: StoredScorer, settings: Mapping[str, Any]) -> None:
    """Write a scorer and the settings that made it.

    Args:
        path: a `.safetensors` file; it appears whole or not at all.
        scorer: what to keep.
        settings: whatever JSON can hold.
    """
    # Not by way of `KINDS`: a fit must not depend on the code of other methods.
    arguments = {name: getattr(scorer, name) for name in scorer.ARGUMENTS}
    tensors = {name: v for name, v in arguments.items() if isinstance(v, Tensor)}
    numbers = {name: v for name, v in arguments.items() if name not in tensors}
    header = json.dumps(
        {"scorer": scorer.KIND, "arguments": numbers, "settings": settings},
        sort_keys=True,
    )
    with whole_file(path, shared=True) as partial:
        # Not `save_file`, whose files nobody else may read: stores are shared.
        partial.write_bytes(to_bytes(tensors, {_KEY: header}))


def load(path: Path | str) -> Scorer:
    """Read a scorer, ready to score raw activations.

    Raises:
        ValueError: the file is damaged or was not written by `save`.
    """
    kind = _read_header(Path(path))["scorer"]
    if kind not in KINDS:
        raise ValueError(
            f"{path} holds a scorer of kind {kind!r}, which this version of vitproto "
            "does not know"
        )
    return load_as(path, KINDS[kind])


def load_as(path: Path | str, cls: type[T]) -> T:
    """Read a scorer of a known kind: so code depends on that kind alone.

    Raises:
        ValueError: the file is damaged or holds another kind.
    """
    header = _read_header(Path(path))
    if header["scorer"] != cls.KIND:
        raise ValueError(
            f"{path} holds a scorer of kind {header['scorer']!r}, expected "
            f"{cls.KIND!r}: delete it and fit it again"
        )
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return cls(**tensors, **header["arguments"])


def stored_at(store: Path, run: Run, settings: Mapping[str, Any]) -> Path:
    """Where does a store keep the checkpoint of a run?

    The name ends in a digest of everything that made it: settings, data and code.
    So studies can share a store, and what was made otherwise has another name.
    """
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return store / f"{run.name}.{digest}.safetensors"


def is_stored(path: Path, settings: Mapping[str, Any]) -> bool:
    """Does this file hold the checkpoint that these settings make?

    Raises:
        ValueError: a file is there, but it is damaged or made otherwise.
    """
    if not path.is_file():
        return False
    found = read_settings(path)
    wanted = json.loads(json.dumps(settings))
    if found == wanted:
        return True
    keys = sorted(found.keys() | wanted.keys())
    key = next(key for key in keys if found.get(key) != wanted.get(key))
    raise ValueError(
        f"{path} was made with {key} {found.get(key)!r}, but its name says "
        f"{wanted.get(key)!r}: it was renamed or edited by hand. Delete it and run "
        "again"
    )


def read_kind(path: Path | str) -> str:
    """Read which kind of scorer a checkpoint holds, without its weights."""
    return _read_header(Path(path))["scorer"]


def read_settings(path: Path | str) -> dict[str, Any]:
    """Read the settings that made a checkpoint, without its weights."""
    return _read_header(Path(path))["settings"]


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise ValueError(f"there is no checkpoint {path}: fit it again") from error
    except SafetensorError as error:
        raise ValueError(
            f"the checkpoint {path} is damaged ({error}): delete it and fit it again"
        ) from error
    if _KEY not in metadata:
        raise ValueError(f"{path} is a safetensors file, but not one of vitproto's")
    return json.loads(metadata[_KEY])


@dataclass(frozen=True)
class FittedRun:
    """A run of a family and where its checkpoint lies."""

    name: str
    """Of the run, which `Run.parse` reads."""
    path: str
    sha256: str

    @property
    def run(self) -> Run:
        return Run.parse(self.name)


def write_manifest(
    path: Path, fitted: Mapping[Run, Path], family: FittedFamily
) -> None:
    """List a family's checkpoints, with their digests, in the order given."""
    runs = [
        FittedRun(run.name, str(file), _sha256(file)) for run, file in fitted.items()
    ]
    with whole_file(path) as partial:
        content = {**asdict(family), "runs": [asdict(run) for run in runs]}
        partial.write_text(json.dumps(content, indent=2) + "\n")


def read_manifest(
    path: Path, family: FittedFamily, runs: Collection[str]
) -> Sequence[FittedRun]:
    """List a family's checkpoints, as `write_manifest` wrote them.

    Args:
        path: the JSON file.
        family: whose checkpoints it should list.
        runs: the names of the runs that it should list, all of them.

    Raises:
        ValueError: the file is damaged or another family's, it lacks a run or lists a
            surplus one, or a checkpoint is gone or is not the one that was fitted.
    """
    fitted = _read_manifest(path, family)
    check_runs(path, [fit.name for fit in fitted], runs, _REMEDY)
    return fitted


def find_run(manifest: Path, family: FittedFamily, name: str) -> FittedRun:
    """The run of that name among those of its family.

    Args:
        manifest: the JSON file that lists the family's checkpoints.
        family: whose checkpoints it should list.
        name: of the run, as `Run.name` gives it.

    Raises:
        ValueError: there is no such run, or see `read_manifest`.
    """
    fitted = {fit.name: fit for fit in _read_manifest(manifest, family)}
    if name not in fitted:
        raise ValueError(
            f"{manifest} lists no run {name}: write one of {', '.join(fitted)}"
        )
    return fitted[name]


def _read_manifest(path: Path, family: FittedFamily) -> list[FittedRun]:
    try:
        content = json.loads(path.read_text())
        fitted = [FittedRun(**run) for run in content["runs"]]
        names = [fit.run.name for fit in fitted]
    # What is raised depends on what is damaged; ValueError covers JSON and UTF-8.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged or no list of checkpoints "
            f"({type(error).__name__}: {error}): {_REMEDY}"
        ) from error
    check_family(path, content, family, _REMEDY)
    if len(set(names)) < len(names):
        raise ValueError(f"{path} lists a run twice: {_REMEDY}")
    for fit in fitted:
        if not Path(fit.path).is_file():
            raise ValueError(
                f"{path} lists {fit.path}, which is gone: delete {path} and run again"
            )
        if _sha256(Path(fit.path)) != fit.sha256:
            raise ValueError(
                f"{fit.path} changed since {path} was written: another study or a "
                f"hand replaced it. Delete {path} and run again"
            )
    return fitted


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
