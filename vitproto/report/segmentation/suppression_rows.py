"""What suppression did to each class, read from the files of one or more SAEs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vitproto.report.shared.expected_runs import check_expected
from vitproto.report.shared.typed_csv import read_typed, refuse
from vitproto.study.family import Family, describe_difference
from vitproto.study.run import Run

EDITS = {
    "latents": "its latents",
    "random_latents": "random latents",
    "random_directions": "random directions",
    "other_class": "latents of another class",
    "class_direction": "class direction (ceiling)",
}
"""What is done to the patches, and how readers call it, in the order of tables."""

OWN = "latents"
CONTROLS = ("random_latents", "random_directions", "other_class")
"""Edits of the same length that should matter less to the class."""
CEILING = "class_direction"
"""The probe's own direction of the class: nothing of this length lowers it faster."""

PLACE = {
    "encoder": "str",
    "probe_layer": "int64",
    "layer": "int64",
    "method": "str",
    "run": "str",
}
"""Columns that say of which SAE a row is, and which layer the probe reads."""

MEASURED = [
    "edit_norm",
    "iou_before",
    "iou_after",
    "accuracy_before",
    "accuracy_after",
    "others_iou_before",
    "others_iou_after",
    "others_accuracy_before",
    "others_accuracy_after",
    "changed_class",
    "changed_others",
    "loss",
    "loss_low",
    "loss_high",
    "collateral",
    "collateral_low",
    "collateral_high",
    "specificity",
    "specificity_low",
    "specificity_high",
    "margin",
    "margin_low",
    "margin_high",
]
"""Columns of `suppression.csv` in which a cell may be empty."""

COLUMNS = {
    **PLACE,
    "label": "int64",
    "class_name": "str",
    "edit": "str",
    "dose": "float64",
    "latents": "str",
    "n_images": "Int64",
    **dict.fromkeys(MEASURED, "float64"),
    "note": "str",
}
"""Columns of `suppression.csv` that are read, and what they hold."""

LATENT_COLUMNS = {
    "label": "int64",
    "class_name": "str",
    "latent": "Int64",
    "ap": "float64",
    "alignment": "float64",
    "is_chosen": "bool",
    "note": "str",
}
"""Columns of `class_latents.csv` that are read."""

CHANGE_COLUMNS = {
    **PLACE,
    "label": "int64",
    "dose": "float64",
    "to_label": "int64",
    "share": "float64",
}
"""Columns of `changes.csv` that are read."""

REMEDY = "run the stage that wrote it again"


class Place(NamedTuple):
    """Which SAE, and which layer the probe reads. Sorts as tables do."""

    encoder: str
    probe_layer: int
    layer: int
    method: str
    run: str


@dataclass(frozen=True)
class ExpectedSaes:
    """What the files of a segmentation study hold, no more and no less."""

    runs: tuple[str, ...]
    """Of the SAEs, such as clip/layer3/topk:k64-sparsity8-seed0."""
    probe_layer: int
    """Which block the probe reads, counted from 0."""
    doses: tuple[float, ...]
    """What latents are set to, in multiples of their largest value."""


@dataclass(frozen=True)
class Suppression:
    """What is known of all SAEs. Each table begins with the column `sae`.

    Attributes:
        places: which SAE is meant by each name, in the order of tables.
        rows: of `suppression.csv`, sorted by SAE, label, edit and dose.
        latents: of `class_latents.csv`, those of a class in order of rank.
        changes: of `changes.csv`, the largest share first.
    """

    places: dict[str, Place]
    rows: pd.DataFrame
    latents: pd.DataFrame
    changes: pd.DataFrame

    @property
    def saes(self) -> list[str]:
        """What the SAEs are called, in the order of tables."""
        return list(self.places)

    @property
    def doses(self) -> list[float]:
        """All doses, the weakest first: 0, −1, −2."""
        return sort_doses(self.rows["dose"])

    @property
    def class_names(self) -> dict[int, str]:
        """The name of each label that any file holds."""
        both = pd.concat([self.rows, self.latents])[["label", "class_name"]]
        return dict(both.drop_duplicates("label").sort_values("label").to_numpy())


def read_suppression(
    suppression: Sequence[Path],
    class_latents: Sequence[Path],
    changes: Sequence[Path],
) -> Suppression:
    """What did suppression do, for each SAE?

    Args:
        suppression: a file for each SAE.
        class_latents, changes: of the same SAEs, in the same order.

    Raises:
        ValueError: the lists differ in length, an SAE stands there twice, a file is
            damaged, a number is missing without a note, two files name a label
            differently, or files stand in different orders.
    """
    lengths = [len(suppression), len(class_latents), len(changes)]
    if len(set(lengths)) > 1 or not suppression:
        raise ValueError(
            "{} files of suppression, {} of class latents and {} of changes were "
            "named: give one of each for every SAE, in the same order".format(*lengths)
        )
    read = []
    for i, path in enumerate(suppression):
        rows, changed = _read_rows(path), _read_changes(changes[i])
        place = _find_place(path, rows)
        if len(changed) and _find_place(changes[i], changed) != place:
            raise ValueError(
                f"{path} and {changes[i]} are of different SAEs: give the files of all "
                "SAEs in the same order"
            )
        read.append((place, rows, _read_latents(class_latents[i]), changed))
    # Sorted: no result depends on the order in which SAEs are given.
    read.sort(key=lambda one: one[0])
    places = [place for place, *_ in read]
    for place in places:
        if places.count(place) > 1:
            raise ValueError(
                f"two files of suppression are of {place.method} {place.run} in layer "
                f"{place.layer} of {place.encoder}: give each SAE once"
            )
    names = name_saes(places)
    found = Suppression(
        dict(zip(names, places, strict=True)),
        *(_join(names, [one[i] for one in read]) for i in (1, 2, 3)),
    )
    _check_names(found)
    return found


def name_saes(places: Sequence[Place]) -> list[str]:
    """What tables call each SAE: as short as it can be told from the others."""
    n_encoders = len({place.encoder for place in places})
    n_probed = len({place.probe_layer for place in places})
    names = []
    for place in places:
        words = [f"{place.method} {place.run}", f"layer {place.layer}"]
        if n_encoders > 1:
            words.append(place.encoder)
        if n_probed > 1 or place.probe_layer != place.layer:
            words.append(f"probe of layer {place.probe_layer}")
        names.append(", ".join(words))
    return names


def check_dose(found: Suppression, dose: float) -> None:
    """Was this dose measured, for every SAE?

    Raises:
        ValueError: it was not.
    """
    for sae in found.saes:
        measured = found.rows.loc[found.rows["sae"] == sae, "dose"]
        if not (measured == dose).any():
            doses = ", ".join(f"{value:g}" for value in sort_doses(measured))
            raise ValueError(
                f"dose is {dose:g}, but {sae} was suppressed with the doses "
                f"{doses}: take one of these, or add {dose:g} to the doses in the "
                "config"
            )


def check_complete(found: Suppression, expected: ExpectedSaes) -> None:
    """Is each SAE there, with a row for each class, edit and dose?

    A class that was not measured has rows of the edit `latents` alone.

    Raises:
        ValueError: an SAE or a row is missing, or one is there that should not be.
    """
    saes = [
        (Family(place.encoder, place.layer, place.method), Run.parse(place.run))
        for place in found.places.values()
    ]
    check_expected(saes, expected.runs, "the table of suppression")
    for sae, place in found.places.items():
        if place.probe_layer != expected.probe_layer:
            raise ValueError(
                f"{sae} was judged by a probe of layer {place.probe_layer}, expected "
                f"layer {expected.probe_layer}: {REMEDY}"
            )
        rows = found.rows[found.rows["sae"] == sae]
        latents = found.latents[found.latents["sae"] == sae]
        for label in sorted(set(rows["label"]) | set(latents["label"])):
            its = rows[rows["label"] == label]
            edits = [OWN] if set(its["edit"]) <= {OWN} else list(EDITS)
            wanted = {(edit, dose) for edit in edits for dose in expected.doses}
            there = set(zip(its["edit"], its["dose"], strict=True))
            if there != wanted:
                words = [
                    {f"{edit} at dose {dose:g}" for edit, dose in some}
                    for some in (wanted - there, there - wanted)
                ]
                raise ValueError(
                    f"label {label} of {sae} {describe_difference(*words)}: {REMEDY}"
                )


def sort_doses(doses: pd.Series) -> list[float]:
    """The weakest first: from the largest multiple down, 0 before −2."""
    return sorted(doses.unique().tolist(), reverse=True)


def _read_rows(path: Path) -> pd.DataFrame:
    rows = read_typed(path, COLUMNS, ["n_images", *MEASURED])
    unknown = ~rows["edit"].isin(list(EDITS))
    mistakes = {
        f"the edit is none of {', '.join(EDITS)}": unknown,
        "class, edit and dose already stand above": (
            rows.duplicated(["label", "edit", "dose"])
        ),
        "nothing was measured, and no note says why": (
            rows["specificity"].isna() & (rows["note"] == "")
        ),
    }
    refuse(path, mistakes, REMEDY)
    rank = rows["edit"].map(list(EDITS).index)
    return (
        rows.assign(_rank=rank, _strength=-rows["dose"])
        .sort_values(["label", "_rank", "_strength"])
        .drop(columns=["_rank", "_strength"])
    )


def _read_latents(path: Path) -> pd.DataFrame:
    latents = read_typed(path, LATENT_COLUMNS, ["latent", "ap", "alignment"])
    is_nameless = latents["latent"].isna() & (latents["note"] == "")
    mistake = "the class has no latent, and no note says why"
    refuse(path, {mistake: is_nameless}, REMEDY)
    return latents


def _read_changes(path: Path) -> pd.DataFrame:
    changes = read_typed(path, CHANGE_COLUMNS, [])
    return changes.sort_values(
        ["label", "dose", "share", "to_label"], ascending=[True, True, False, True]
    )


def _find_place(path: Path, rows: pd.DataFrame) -> Place:
    """Of which SAE is a file? Of exactly one."""
    places = rows[list(PLACE)].drop_duplicates()
    if len(places) != 1:
        raise ValueError(
            f"{path} holds rows of {len(places)} SAEs, expected one: {REMEDY}"
        )
    return Place(**places.iloc[0].to_dict())


def _join(saes: Sequence[str], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table below the other, with the SAE of each in the first column."""
    pairs = zip(saes, tables, strict=True)
    named = []
    for sae, table in pairs:
        table = table.copy()
        table.insert(0, "sae", pd.Series(sae, index=table.index, dtype="str"))
        named.append(table)
    return pd.concat(named, ignore_index=True)


def _check_names(found: Suppression) -> None:
    both = pd.concat([found.rows, found.latents])[["label", "class_name"]]
    names = both.drop_duplicates()
    twice = names[names.duplicated("label", keep=False)].sort_values("label")
    if len(twice):
        label, (first, second) = twice["label"].iloc[0], twice["class_name"].iloc[:2]
        raise ValueError(
            f"the files call label {label} {first!r} and {second!r}: name files of the "
            "same data set"
        )
