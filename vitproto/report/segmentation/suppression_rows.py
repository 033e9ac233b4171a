"""Effects of suppression on each class, read from the files of one or more SAEs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vitproto.report.shared.runs import check_expected, check_no_repeats
from vitproto.report.shared.typed_csv import read_typed, refuse
from vitproto.report.shared.wording import CONTROL_BADGE
from vitproto.segmentation.suppression.terms import LEAST_IOU, Place
from vitproto.study.family import Family, describe_difference
from vitproto.study.run import Run

EDITS = {
    "latents": "its latents",
    "random_latents": "random latents",
    "frequent_latents": "random latents, as often active",
    "random_directions": "random directions",
    "other_class": "latents of another class",
    "class_direction": "class direction (ceiling)",
}
"""Edits of the patches, and their names for readers, in the order of tables."""

OWN = "latents"
CONTROLS = ("random_latents", "frequent_latents", "random_directions", "other_class")
"""Edits of the same length that should affect the class less."""
BLIND = "random_directions"
"""The control that knows nothing: on each patch it is as long as the latents' edit, so
it shows what the place of an edit does."""
CEILING = "class_direction"
"""The probe's own direction of the class, which lowers its evidence most steeply."""

PLACE = {
    "encoder": "str",
    "probe_layer": "int64",
    "layer": "int64",
    "method": "str",
    "run": "str",
}
"""Columns that name the SAE of a row, and the layer that the probe reads."""

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
"""Columns of `suppression.csv` that are read, and their types."""

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

_MEANS = [
    f"{name}{end}"
    for name in ("loss", "collateral", "specificity", "margin")
    for end in ("", "_low", "_high")
]
SUMMARY_COLUMNS = {
    **PLACE,
    "edit": "str",
    "at": "str",
    "is_main": "bool",
    "length": "float64",
    **dict.fromkeys(("n_classes", "n_unjudged", "n_unreached"), "int64"),
    **dict.fromkeys(("n_half", "n_gone"), "int64"),
    **dict.fromkeys((*_MEANS, "margin_p"), "float64"),
    "n_compared": "Int64",
    "win_rate": "float64",
    "n_above": "Int64",
    "n_below": "Int64",
}
"""Columns of `suppression_table.csv` that are read."""

COMPARISON_COLUMNS = {
    **PLACE,
    "at": "str",
    "is_main": "bool",
    "length": "float64",
    **dict.fromkeys(("n_controls", "n_classes", "n_unreached", "n_gone"), "int64"),
    "n_before_first": "int64",
    **dict.fromkeys(("lead", "lead_low", "lead_high", "p"), "float64"),
    **dict.fromkeys(("net_lead", "net_lead_low", "net_lead_high"), "float64"),
    "net_p": "float64",
    **dict.fromkeys(("n_more", "n_less"), "int64"),
}
"""Columns of `suppression_comparison.csv` that are read."""

AT_LENGTH, AT_HALF = "length", "half"
"""Values of the column `at`: read at a length, or where half of the IoU is lost."""

REMEDY = "run the stage that wrote it again"


@dataclass(frozen=True)
class SuppressionFiles:
    """The files with the effects of suppression."""

    suppression: tuple[Path, ...]
    """CSV files of measure_suppression.py by class, one for each SAE."""
    class_latents: tuple[Path, ...]
    """CSV files of their latents by class, in the same order."""
    changes: tuple[Path, ...]
    """CSV files of what classes change to, in the same order."""
    summary: Path
    """The CSV file of measure_suppression.py with means over classes."""
    comparison: Path
    """Its CSV file that compares trained and untrained SAEs."""


@dataclass(frozen=True)
class ExpectedSaes:
    """What the files of a segmentation study must hold, no more and no less."""

    sae_families: tuple[str, ...]
    """Families of the SAEs with their runs: clip/layer3/topk:k64-sparsity8-seed0."""
    probe_layer: int
    """Block that the probe reads, counted from 0."""
    doses: tuple[float, ...]
    """How much latents are suppressed."""
    controls: tuple[str, ...]
    """Methods whose SAEs nothing has trained."""


@dataclass(frozen=True)
class Suppression:
    """The results of all SAEs. Each table begins with the column `sae`.

    Attributes:
        places: the SAEs by name, in the order of tables.
        rows: rows of `suppression.csv`, sorted by SAE, label, edit and dose.
        latents: rows of `class_latents.csv`, those of a class by rank.
        changes: rows of `changes.csv`, the largest share first.
        summary: rows of `suppression_table.csv`, by SAE, point and edit.
        comparison: rows of `suppression_comparison.csv`, by point and SAE.
    """

    places: dict[str, Place]
    rows: pd.DataFrame
    latents: pd.DataFrame
    changes: pd.DataFrame
    summary: pd.DataFrame
    comparison: pd.DataFrame

    @property
    def saes(self) -> list[str]:
        """Names of the SAEs, in the order of tables."""
        return list(self.places)

    def at(self, point: str) -> pd.DataFrame:
        """The summary where SAEs are compared: at equal `length`, or at `half` loss."""
        is_there = (self.summary["at"] == point) & self.summary["is_main"]
        return self.summary[is_there]

    @property
    def doses(self) -> list[float]:
        """All doses, the weakest first: 0, −1, −2."""
        return sort_doses(self.rows["dose"])

    @property
    def class_names(self) -> dict[int, str]:
        """The name of each label in any of the files."""
        both = pd.concat([self.rows, self.latents])[["label", "class_name"]]
        return dict(both.drop_duplicates("label").sort_values("label").to_numpy())


def read_complete(
    files: SuppressionFiles, expected: ExpectedSaes, dose: float
) -> Suppression:
    """Read the effects of suppression, and check that nothing is missing.

    Raises:
        ValueError: see `read_suppression`, `check_complete` and `check_dose`.
    """
    suppression = read_suppression(files, expected.controls)
    check_complete(suppression, expected)
    check_dose(suppression, dose)
    return suppression


def read_suppression(files: SuppressionFiles, controls: Sequence[str]) -> Suppression:
    """Read the effects of suppression for each SAE.

    Args:
        files: the files to read.
        controls: methods whose SAEs nothing has trained; their names get a badge.

    Raises:
        ValueError: the lists differ in length or order, an SAE is there twice, a file
            is damaged, a number is missing without a note, or two files name a label
            differently.
    """
    lengths = [len(files.suppression), len(files.class_latents), len(files.changes)]
    if len(set(lengths)) > 1 or not files.suppression:
        raise ValueError(
            "{} files of suppression, {} of class latents and {} of changes were "
            "named: give one of each for every SAE, in the same order".format(*lengths)
        )
    triples = zip(files.suppression, files.class_latents, files.changes, strict=True)
    # Sorted: no result depends on the order in which SAEs are given.
    saes = sorted((_read_sae(*paths) for paths in triples), key=lambda sae: sae[0])
    places = [place for place, *_ in saes]
    check_no_repeats(map(str, places), "the files of suppression")
    names = dict(zip(places, name_saes(places, controls), strict=True))
    suppression = Suppression(
        {name: place for place, name in names.items()},
        *(_join(list(names.values()), [sae[i] for sae in saes]) for i in (1, 2, 3)),
        _read_summary(files.summary, names),
        _read_of_saes(files.comparison, COMPARISON_COLUMNS, names),
    )
    _check_names(suppression)
    return suppression


def name_saes(places: Sequence[Place], controls: Sequence[str]) -> list[str]:
    """Name each SAE as briefly as tells it from the others, controls with a badge."""
    n_encoders = len({place.encoder for place in places})
    n_probed = len({place.probe_layer for place in places})
    names = []
    for place in places:
        badge = f" {CONTROL_BADGE}" if place.method in controls else ""
        words = [f"{place.method} {place.run}{badge}", f"layer {place.layer}"]
        if n_encoders > 1:
            words.append(place.encoder)
        if n_probed > 1 or place.probe_layer != place.layer:
            words.append(f"probe of layer {place.probe_layer}")
        names.append(", ".join(words))
    return names


def check_dose(suppression: Suppression, dose: float) -> None:
    """Check that a dose was measured for every SAE.

    Raises:
        ValueError: it was not.
    """
    for sae in suppression.saes:
        measured = suppression.rows.loc[suppression.rows["sae"] == sae, "dose"]
        if not (measured == dose).any():
            doses = ", ".join(f"{value:g}" for value in sort_doses(measured))
            raise ValueError(
                f"dose is {dose:g}, but {sae} was suppressed with the doses "
                f"{doses}: take one of these, or add {dose:g} to the doses in the "
                "config"
            )


def check_complete(suppression: Suppression, expected: ExpectedSaes) -> None:
    """Check that each SAE has a row for each class, edit and dose.

    A class that was not measured has only rows of the edit `latents`.

    Raises:
        ValueError: an SAE or a row is missing or unexpected.
    """
    saes = [
        (Family(place.encoder, place.layer, place.method), Run.parse(place.run))
        for place in suppression.places.values()
    ]
    check_expected(saes, expected.sae_families, "the table of suppression")
    for sae, place in suppression.places.items():
        if place.probe_layer != expected.probe_layer:
            raise ValueError(
                f"{sae} was evaluated with a probe of layer {place.probe_layer}, "
                f"expected layer {expected.probe_layer}: {REMEDY}"
            )
        rows = suppression.rows[suppression.rows["sae"] == sae]
        latents = suppression.latents[suppression.latents["sae"] == sae]
        for label in sorted(set(rows["label"]) | set(latents["label"])):
            own = rows[rows["label"] == label]
            edits = [OWN] if set(own["edit"]) <= {OWN} else list(EDITS)
            wanted = {
                f"{edit} at dose {dose:g}" for edit in edits for dose in expected.doses
            }
            pairs = zip(own["edit"], own["dose"], strict=True)
            measured = {f"{edit} at dose {dose:g}" for edit, dose in pairs}
            if measured != wanted:
                difference = describe_difference(wanted - measured, measured - wanted)
                raise ValueError(f"label {label} of {sae} {difference}: {REMEDY}")


def is_judged(rows: pd.DataFrame) -> pd.Series:
    """Find the rows that show how much an edit affects the class.

    Left out are rows without a measure; classes that have next to nothing to lose; and
    edits without length, whose latents are never active.
    """
    can_change = (rows["iou_before"] >= LEAST_IOU) & (rows["edit_norm"] > 0)
    return rows["specificity"].notna() & can_change


def sort_doses(doses: pd.Series) -> list[float]:
    """Sort doses, the weakest first: 0 before −2."""
    return sorted(doses.unique().tolist(), reverse=True)


def _read_sae(
    suppression: Path, class_latents: Path, changes: Path
) -> tuple[Place, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows, changed = _read_rows(suppression), _read_changes(changes)
    place = _find_place(suppression, rows)
    if len(changed) and _find_place(changes, changed) != place:
        raise ValueError(
            f"{suppression} and {changes} are of different SAEs: give the files of all "
            "SAEs in the same order"
        )
    return place, rows, _read_latents(class_latents), changed


def _read_rows(path: Path) -> pd.DataFrame:
    rows = read_typed(path, COLUMNS, ["n_images", *MEASURED])
    unknown = ~rows["edit"].isin(list(EDITS))
    mistakes = {
        f"the edit is none of {', '.join(EDITS)}": unknown,
        "this class, edit and dose are on an earlier line too": (
            rows.duplicated(["label", "edit", "dose"])
        ),
        "nothing was measured, and no note says why": (
            rows["specificity"].isna() & (rows["note"] == "")
        ),
    }
    refuse(path, rows, mistakes, REMEDY)
    rank = rows["edit"].map(list(EDITS).index)
    return (
        rows.assign(_rank=rank, _strength=-rows["dose"])
        .sort_values(["label", "_rank", "_strength"])
        .drop(columns=["_rank", "_strength"])
    )


def _read_latents(path: Path) -> pd.DataFrame:
    latents = read_typed(path, LATENT_COLUMNS, ["latent", "ap", "alignment"])
    has_no_latent = latents["latent"].isna() & (latents["note"] == "")
    mistake = "the class has no latent, and no note says why"
    refuse(path, latents, {mistake: has_no_latent}, REMEDY)
    return latents


def _read_changes(path: Path) -> pd.DataFrame:
    changes = read_typed(path, CHANGE_COLUMNS, [])
    return changes.sort_values(
        ["label", "dose", "share", "to_label"], ascending=[True, True, False, True]
    )


def _read_summary(path: Path, names: Mapping[Place, str]) -> pd.DataFrame:
    rows = _read_of_saes(path, SUMMARY_COLUMNS, names)
    order = pd.DataFrame(
        {
            "sae": rows["sae"].map(list(names.values()).index),
            "at": rows["at"],
            "length": rows["length"].where(rows["at"] == "length", 0),
            "edit": rows["edit"].map(list(EDITS).index),
        }
    ).sort_values(["sae", "at", "length", "edit"], ascending=[True, False, True, True])
    return rows.loc[order.index].reset_index(drop=True)


def _read_of_saes(
    path: Path, columns: Mapping[str, str], names: Mapping[Place, str]
) -> pd.DataFrame:
    """Read a table of several SAEs, with the name of each in the first column."""
    counted = [name for name, kind in columns.items() if kind in ("float64", "Int64")]
    rows = read_typed(path, columns, counted)
    places = [Place(*values) for values in rows[list(PLACE)].to_numpy().tolist()]
    others = [str(place) for place in dict.fromkeys(places) if place not in names]
    if others:
        raise ValueError(
            f"{path} is about {others[0]}, but no file of its classes was named: "
            f"{REMEDY}"
        )
    rows.insert(0, "sae", pd.Series([names[place] for place in places], dtype="str"))
    return rows


def _find_place(path: Path, rows: pd.DataFrame) -> Place:
    """The single SAE that a file describes."""
    places = rows[list(PLACE)].drop_duplicates()
    if len(places) != 1:
        raise ValueError(
            f"{path} holds rows of {len(places)} SAEs, expected one: {REMEDY}"
        )
    return Place(**places.iloc[0].to_dict())


def _join(saes: Sequence[str], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables, with the SAE of each in the first column."""
    pairs = zip(saes, tables, strict=True)
    named = []
    for sae, table in pairs:
        table = table.copy()
        table.insert(0, "sae", pd.Series(sae, index=table.index, dtype="str"))
        named.append(table)
    return pd.concat(named, ignore_index=True)


def _check_names(suppression: Suppression) -> None:
    both = pd.concat([suppression.rows, suppression.latents])[["label", "class_name"]]
    names = both.drop_duplicates()
    disputed = names[names.duplicated("label", keep=False)].sort_values("label")
    if len(disputed):
        label = disputed["label"].iloc[0]
        first, second = disputed["class_name"].iloc[:2]
        raise ValueError(
            f"the files call label {label} {first!r} and {second!r}: name files of the "
            "same data set"
        )
