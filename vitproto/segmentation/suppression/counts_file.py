"""Read the file of pixel counts: all that the statistics of suppression are made from.

M test images, C classes of the data set, K kinds of edits of a class, O doses. E edits:
kind · O + dose. X entries: an edit, an image and a class whose counts the edit changes.

Counts are kept for each image, so intervals and new statistics need no encoder and no
GPU. An edit changes few classes of an image, so changes alone are stored: about 6 bytes
for each, compressed.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64

from vitproto.core.hdf5_file import Hdf5Reader, open_hdf5
from vitproto.segmentation.suppression.terms import ChosenClass, Place

FORMAT = "vitproto suppression counts 2"
"""Root attribute `format` of the file; its number grows when the layout changes."""


@dataclass(frozen=True)
class EditedClass:
    """What edits for one class do, as it is read.

    Attributes:
        chosen: the class, its latents, and why it has none.
        kinds_K: the edit of each kind; empty if the class was not measured.
        dead: latents of the class that are never active.
        length_OM: mean length of the edits over the patches of each image.
        n_changed_KO, n_others_changed_KO, n_patches, n_others: see `ClassCounts`.
        start_E: where the entries of each edit begin; one more than edits.
        image_X, class_X: image and class, from 0, of each entry.
        predicted_X, hit_X: the changes of predicted and of correct pixels.
    """

    chosen: ChosenClass
    kinds_K: tuple[str, ...]
    dead: tuple[int, ...]
    length_OM: Float64[np.ndarray, "o m"]
    n_changed_KO: Int64[np.ndarray, "k o"]
    n_others_changed_KO: Int64[np.ndarray, "k o"]
    n_patches: int
    n_others: int
    start_E: Int64[np.ndarray, " e1"]
    image_X: Int64[np.ndarray, " x"]
    class_X: Int64[np.ndarray, " x"]
    predicted_X: Int64[np.ndarray, " x"]
    hit_X: Int64[np.ndarray, " x"]

    def draws_of(self, edit: str) -> list[int]:
        """The indices of the kinds that are draws of an edit."""
        return [k for k, kind in enumerate(self.kinds_K) if kind == edit]


@dataclass(frozen=True)
class SuppressionCounts:
    """The counts of an autoencoder; `read_class` reads those of one class.

    Attributes:
        path: the file.
        place: the autoencoder.
        doses_O: in the order of the file.
        class_names: of the labels 1 to C.
        labels: the classes in the file, ascending.
        image_ids: of the test images.
        true_MC, predicted_MC, hit_MC, length_M: before any edit, see `Before`.
    """

    path: Path
    place: Place
    doses_O: tuple[float, ...]
    class_names: tuple[str, ...]
    labels: tuple[int, ...]
    image_ids: tuple[str, ...]
    true_MC: Int64[np.ndarray, "m c"]
    predicted_MC: Int64[np.ndarray, "m c"]
    hit_MC: Int64[np.ndarray, "m c"]
    length_M: Float64[np.ndarray, " m"]

    def edited_classes(self) -> Bool[np.ndarray, " c"]:
        """Find the classes whose edits have a length.

        Raises:
            ValueError: the file is damaged.
        """
        is_edited_C = np.zeros(len(self.class_names), bool)
        with _open(self.path) as file:
            for label in self.labels:
                attributes = file.attributes(f"classes/{label}")
                is_long = bool((file.values(f"classes/{label}/length_OM") > 0).any())
                with file.naming_damage():
                    has_edits = len(attributes["kinds_K"]) > 0
                    is_edited_C[label - 1] = has_edits and is_long
        return is_edited_C

    def read_class(self, label: int) -> EditedClass:
        """Read what the edits for a class do.

        Raises:
            ValueError: the file is damaged.
        """
        with _open(self.path) as file, file.naming_damage():
            group = f"classes/{label}"
            attributes = file.attributes(group)
            return EditedClass(
                ChosenClass(
                    label,
                    self.class_names[label - 1],
                    tuple(attributes["latents"].tolist()),
                    tuple(attributes["notes"]),
                ),
                tuple(attributes["kinds_K"]),
                tuple(attributes["dead"].tolist()),
                *(
                    file.values(f"{group}/{name}")
                    for name in ("length_OM", "n_changed_KO", "n_others_KO")
                ),
                *(int(attributes[name]) for name in ("n_patches", "n_others")),
                *(
                    file.values(f"{group}/{name}").astype(np.int64)
                    for name in (
                        *("start_E", "image_X", "class_X"),
                        *("predicted_X", "hit_X"),
                    )
                ),
            )


def read_counts(path: Path) -> SuppressionCounts:
    """Open a file of counts, and read what was before any edit.

    Raises:
        ValueError: the file is missing, damaged, or of another format.
    """
    with _open(path) as file:
        attributes = file.attributes()
        if attributes.get("format") != FORMAT:
            raise file.damaged(
                f"its format is {attributes.get('format')!r}, expected {FORMAT!r}"
            )
        with file.naming_damage():
            return SuppressionCounts(
                path,
                Place(
                    *(str(attributes["encoder"]), int(attributes["probe_layer"])),
                    *(int(attributes["layer"]), str(attributes["method"])),
                    str(attributes["run"]),
                ),
                tuple(np.atleast_1d(attributes["doses"]).tolist()),
                tuple(file.strings("class_names")),
                tuple(sorted(map(int, file.names("classes")))),
                tuple(file.strings("image_ids")),
                *(
                    file.values(f"before/{name}")
                    for name in ("true_MC", "predicted_MC", "hit_MC", "length_M")
                ),
            )


def _open(path: Path) -> AbstractContextManager[Hdf5Reader]:
    remedy = "delete it and run suppress_latents again"
    return open_hdf5(path, "holds no counts", remedy)
