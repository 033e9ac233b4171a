"""Trait labels: which image shows which trait."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from vitproto.core.files import whole_file
from vitproto.core.unreadable import unreadable

# What is raised depends on which part of the archive is damaged.
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, KeyError, EOFError, ValueError, OSError),
    *(NotImplementedError, RuntimeError),  # zipfile, of unknown compressions
)


@dataclass(frozen=True)
class TraitLabels:
    """A table of images and the traits that they show.

    N images × T traits.

    Raises:
        ValueError: the numbers of ids, names and labels disagree, an id or a name
            appears twice, or an unknown label is True.
    """

    image_ids: list[str]
    """One per row of `labels_NT`, in the order of the image list."""
    trait_names: list[str]
    """One per column of `labels_NT`."""
    labels_NT: Bool[np.ndarray, "n t"]
    """True where the image shows the trait."""
    known_NT: Bool[np.ndarray, "n t"]
    """False where nobody knows whether it does; its label is then False too."""
    answers_NT: UInt8[np.ndarray, "n t"] | None = None
    """The answers of annotators that the labels were made of, as numbers that
    `label_rule` explains; None where a data set has no such answers."""

    def __post_init__(self) -> None:
        expected = (len(self.image_ids), len(self.trait_names))
        if self.labels_NT.shape != expected:
            raise ValueError(
                f"{expected[0]} image ids and {expected[1]} trait names do not fit "
                f"labels of shape {self.labels_NT.shape}"
            )
        for table in (self.known_NT, self.answers_NT):
            if table is not None and table.shape != expected:
                raise ValueError(
                    f"labels of shape {expected} do not fit known labels or answers of "
                    f"shape {table.shape}"
                )
        if (self.labels_NT & ~self.known_NT).any():
            raise ValueError("an unknown label says that an image shows a trait")
        _check_unique("image id", self.image_ids)
        _check_unique("trait name", self.trait_names)

    def save(self, path: Path) -> None:
        """Write the labels; the same labels give the same bytes."""
        # Not compressed: 11 MB for CUB-200, and the bytes do not depend on the
        # version of zlib.
        given = {} if self.answers_NT is None else {"answers_NT": self.answers_NT}
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                image_ids=np.array(self.image_ids, dtype=np.str_),
                trait_names=np.array(self.trait_names, dtype=np.str_),
                labels_NT=self.labels_NT,
                known_NT=self.known_NT,
                **given,
            )

    @classmethod
    def load(cls, path: Path) -> "TraitLabels":
        """Read what `save` wrote.

        Raises:
            ValueError: the file is damaged, contains something else, or was pickled
                (nothing is ever unpickled).
        """
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"{damaged} fails its checksum")
            with np.load(path, allow_pickle=False) as arrays:
                image_ids = arrays["image_ids"]
                trait_names = arrays["trait_names"]
                labels_NT, known_NT = arrays["labels_NT"], arrays["known_NT"]
                answers_NT = arrays.get("answers_NT")
            tables = [image_ids, trait_names, labels_NT, known_NT]
            kinds = "".join(table.dtype.kind for table in tables)
            if kinds != "UUbb" or [table.ndim for table in tables] != [1, 1, 2, 2]:
                raise ValueError(
                    "image_ids and trait_names must be lists of text, labels_NT and "
                    "known_NT tables of booleans"
                )
            if answers_NT is not None and answers_NT.dtype != np.uint8:
                raise ValueError("answers_NT must be a table of 8-bit numbers")
            ids, names = image_ids.tolist(), trait_names.tolist()
            return cls(ids, names, labels_NT, known_NT, answers_NT)
        except _DAMAGES as error:
            raise unreadable(
                path,
                error,
                f"{path} holds no trait labels ({error}): delete it and run "
                "scripts/read_traits.py again",
            ) from error


def _check_unique(what: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"the {what} {value!r} appears twice")
        seen.add(value)
