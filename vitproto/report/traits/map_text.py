"""The mAP table in words: its headline and what its columns mean."""

from typing import NamedTuple

import pandas as pd

from vitproto.core.confidence import LEVEL, MIN_GROUPS
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.shared.runs import name_setting
from vitproto.report.shared.wording import (
    join_names,
    write_bracketed,
    write_count,
    write_number,
    write_share,
)
from vitproto.report.traits.statistics import NULL_PERCENTILE
from vitproto.study.run_table import SEEDLESS


class Images(NamedTuple):
    """The images of a study."""

    n_train: int
    n_test: int
    known_share: float
    """The share of their labels that are known."""


def count_images(
    splits: pd.DataFrame, labels: TraitLabels, table: pd.DataFrame
) -> Images:
    """Count the images of each split.

    Args:
        splits: the splits of the data set that the table is about.
        labels: its labels.
        table: the rows of `tabulate_configurations`.

    Raises:
        ValueError: a row was chosen on more training images than the split has, so
            the table is of another data set.
    """
    n_train, n_test = (int((splits["split"] == s).sum()) for s in ("train", "test"))
    most = int(table["n_train"].max())
    if most > n_train:
        raise ValueError(
            f"the AP files name {most} training images, but the list of splits has "
            f"{n_train}: give the splits of the same data set"
        )
    return Images(n_train, n_test, float(labels.known_NT.mean()))


def find_best(table: pd.DataFrame) -> pd.Series:
    """The configuration with the highest mAP, the first of equals.

    Only settings that were chosen on training images count.
    """
    return table.loc[table.loc[table["is_chosen"], "map"].idxmax()]


def describe_configuration(row: pd.Series) -> str:
    """Name a configuration in words."""
    setting = name_setting(row)
    return (
        f"{write_count(row['n_prototypes'], row['method'] + ' prototype')}"
        f"{f' ({setting})' if setting else ''} in layer {row['layer']} of "
        f"{row['encoder']}, chosen on {row['n_train']} training images"
    )


def format_map(row: pd.Series) -> str:
    """`0.485 [0.470, 0.500]`, with † if it is not above permuted labels.

    There are no brackets where there is no interval.
    """
    text = write_bracketed(row["map"], row["map_low"], row["map_high"])
    return text if row["above_chance"] else f"{text} †"


def write_chance_note(table: pd.DataFrame) -> str:
    """Count the rows that are no better than selection on permuted labels."""
    n_low = int((~table["above_chance"]).sum())
    if n_low == 0:
        return (
            f"The mAP of all {len(table)} rows is above {NULL_PERCENTILE} % of the "
            "permutations of the labels."
        )
    have = "has" if n_low == 1 else "have"
    return (
        f"{n_low} of {len(table)} rows {have} an mAP (marked †) that is not above "
        f"{NULL_PERCENTILE} % of the permutations of the labels: scores without "
        "meaning would do as well."
    )


def explain_maps(rows: pd.DataFrame) -> str:
    """Explain the mAPs of a table that compares layers or encoders.

    Args:
        rows: the rows of the table, of one data set and `n_train`.
    """
    first = rows.iloc[0]
    return (
        f"mAP on the test images of {first['dataset']}, of prototypes chosen on "
        f"{first['n_train']:,} training images. {explain_interval(rows)} A random "
        f"ranking has {write_number(first['chance'])}; † marks values that are not "
        f"above {NULL_PERCENTILE} % of the permutations of the labels."
    )


def explain_interval(rows: pd.DataFrame) -> str:
    """Say what the brackets behind an mAP hold, or why there are none."""
    n_groups = int(rows["n_groups"].iloc[0])
    if rows["map_low"].isna().all():
        return (
            f"There are no intervals: {n_groups} classes of test images are too few "
            f"(at least {MIN_GROUPS})."
        )
    text = (
        f"Brackets are {LEVEL} % intervals over the test images, drawn by class "
        f"({n_groups}), and over fit and selection seeds where there are several."
    )
    once = list_single_fits(rows)
    if not once:
        return text
    have = "have a single fit, and their intervals leave"
    if len(once) == 1:
        have = "has a single fit, and its intervals leave"
    return f"{text} {join_names(once)} {have} out what another would change."


def list_single_fits(rows: pd.DataFrame) -> list[str]:
    """The methods that were fitted with one seed only, though another fit may differ.

    Args:
        rows: rows of the mAP table.

    Returns:
        Sorted; `kmeans (with 8 prototypes)` if it has several fits of other numbers.
    """
    drawn = rows[~rows["method"].isin(SEEDLESS)]
    named = []
    for method, of_method in drawn.groupby("method"):
        counts = of_method.loc[of_method["n_fits"] == 1, "n_prototypes"].unique()
        if not len(counts):
            continue
        of_some = [write_count(n, "prototype") for n in sorted(counts)]
        is_mixed = bool((of_method["n_fits"] > 1).any())
        named.append(method + is_mixed * f" (with {join_names(of_some)})")
    return named


def explain_map_columns(table: pd.DataFrame, images: Images) -> dict[str, str]:
    """Explain the columns of the mAP table.

    Args:
        table: the rows of `tabulate_configurations`.
        images: the images of the study.

    Returns:
        The meaning of each column, by name, in the order of the table.
    """
    n_traits = int(table["n_traits"].iloc[0])
    known = ""
    if images.known_share < 1:
        known = (
            f" whose label is known ({write_share(1 - images.known_share)} % of the "
            "labels of all images are not)"
        )
    meanings = {
        "Train": (
            f"images that prototypes are chosen on, of {images.n_train} in the "
            "training split. For each trait, the prototype with the highest average "
            "precision (AP) on them is chosen, at random among equals."
        ),
        "mAP": (
            f"AP of the chosen prototype on the {images.n_test} test images{known}, "
            f"mean over the {n_traits} traits that one of them shows, then over the "
            "seeds. "
            f"{explain_interval(table)}"
        ),
        "5%, 95%": "percentiles of that AP over the traits, mean over the seeds.",
        "Chance": (
            "the mAP of a random ranking of the test images without ties, mean over "
            "all such rankings. It exceeds the mean share of test images that show a "
            f"trait ({write_number(table['prevalence'].iloc[0])}), which constant "
            "scores reach."
        ),
        "Permuted": (
            f"the {NULL_PERCENTILE}th percentile of the mAP over "
            f"{table['n_permutations'].iloc[0]} permutations of the labels, among "
            "training images and among test images, with prototypes chosen anew. "
            "† marks an mAP that is not above it. Images are permuted one by one, so "
            "scores that only recognise a class are above it too."
        ),
        "Optimism": (
            "AP on the training images that chose the prototypes, less AP on the test "
            "images: how much the choice overrates them."
        ),
    }
    if table["ceiling"].notna().any():
        meanings["Ceiling, Share"] = (
            "mAP of a linear probe of the pooled activations of the same layer, "
            "trained on the same images, with the same kind of interval; and the share "
            "of the way from chance to it."
        )
    meanings |= {
        "Alive": (
            "prototypes that do not score all training images alike, mean over the fit "
            "seeds. The others, such as latents that are never active, find nothing."
        ),
        "Seeds": (
            "pairs of a fit seed (which prototypes) and a selection seed (which "
            "training images) that the row averages. With all training images there is "
            "only one selection, hence fewer pairs."
        ),
        "Unselected": (
            "scored traits that none of the training images shows, mean over the "
            "seeds. No prototype can be chosen for them, so they count with their "
            "chance level."
        ),
    }
    if (table["n_settings"] > 1).any():
        meanings["Settings"] = (
            "of several learning rates and sparsities of a method, the one whose "
            "prototypes have the highest AP on the training images that chose them, at "
            "each number of these. Test images play no part."
        )
    return meanings
