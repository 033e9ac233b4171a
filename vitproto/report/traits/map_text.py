"""The mAP table in words: its headline and what its columns mean."""

import pandas as pd

from vitproto.report.traits.ap_table import SETTING
from vitproto.report.traits.chosen_settings import name_setting


def count_images(splits: pd.DataFrame, table: pd.DataFrame) -> dict[str, int]:
    """How many images does each split hold?

    Args:
        splits: what `read_splits` gives of the data set that the table is about.
        table: what `tabulate` gives.

    Raises:
        ValueError: a row of the table was chosen on more training images than
            there are, so that splits and table do not belong together.
    """
    n_images = {
        split: int((splits["split"] == split).sum()) for split in ("train", "test")
    }
    most = int(table["n_train"].max())
    if most > n_images["train"]:
        raise ValueError(
            f"the AP files speak of {most} training images, but the list of splits has "
            f"{n_images['train']}: give that of the data set that they were made from"
        )
    return n_images


def find_best(table: pd.DataFrame) -> pd.Series:
    """Which configuration has the highest mAP? The first one if several have.

    Only settings that were chosen on training images are looked at.
    """
    return table.loc[table.loc[table["is_chosen"], "map"].idxmax()]


def format_map(row: pd.Series) -> str:
    """How is an mAP printed? `0.474 ± 0.004`, with † where it is not above chance."""
    spread = "" if pd.isna(row["map_sd"]) else f" ± {row['map_sd']:.3f}"
    low = "" if row["above_chance"] else " †"
    return f"{row['map']:.3f}{spread}{low}"


def describe(row: pd.Series) -> str:
    """Which configuration is this?"""
    setting = name_setting(row)
    return (
        f"{row['n_prototypes']} {row['method']} prototypes"
        f"{f' ({setting})' if setting else ''} in layer {row['layer']} of "
        f"{row['encoder']}, chosen on {row['n_train']} training images"
    )


def write_headline(table: pd.DataFrame) -> str:
    """What is the best that was reached, and is it more than chance?"""
    best = find_best(table)
    n_compared = int(table["is_chosen"].sum())
    reached = f"mAP {best['map']:.3f}, where chance is {best['chance']:.3f}"
    if best["above_chance"]:
        begin = f"The best of {n_compared} configurations reaches {reached}"
    else:
        begin = f"No configuration is above chance: the best of {n_compared} reaches "
        begin += reached
    return f"{begin}: {describe(best)}."


def write_chance_note(table: pd.DataFrame) -> str:
    """How many rows are no better than constant scores?"""
    n_low = int((~table["above_chance"]).sum())
    if n_low == 0:
        return f"All {len(table)} rows are above chance."
    verb = "is" if n_low == 1 else "are"
    return (
        f"{n_low} of {len(table)} rows {verb} at or below chance (marked †): scores "
        "that are the same for every image would do as well or better."
    )


def explain_columns(table: pd.DataFrame, n_images: dict[str, int]) -> dict[str, str]:
    """What does each column of the table mean?

    Returns:
        The meaning by name of the column, in the order of the table.
    """
    n_traits = int(table["n_traits"].iloc[0])
    meanings = {}
    if (table["n_settings"] > 1).any():
        meanings["Method"] = (
            "where a method has several settings, ‡ marks the one that is compared "
            "with other methods and drawn: the one whose prototypes have the highest "
            "AP on all the training images that chose them. Test images have no say."
        )
    meanings["Alive"] = (
        "prototypes that score some training image higher than another, mean over the "
        "fit seeds. The others, such as latents that are never active, find nothing."
    )
    if table[SETTING].notna().any(axis=None):
        meanings["LR, Sparsity"] = (
            "learning rate, and the weight of the L1 norm or the number of latents "
            "that may be active at a time, of methods that are trained."
        )
    return meanings | {
        "Train": (
            f"images that a prototype is chosen on, of {n_images['train']} in the "
            "training split. For each trait the prototype with the highest average "
            "precision (AP) on them is taken."
        ),
        "mAP": (
            "AP of the chosen prototype on all "
            f"{n_images['test']} test images, mean over the traits. ± is the standard "
            "deviation over the seeds."
        ),
        "5%, 95%": "percentiles of that AP over the traits, mean over the seeds.",
        "Chance": (
            "the mAP that constant scores reach, which is the mean share of test "
            "images that show a trait."
        ),
        "Traits": f"traits that at least one test image shows: only these {n_traits} "
        "are scored.",
        "Seeds": (
            "pairs of a fit seed (which prototypes) and a selection seed (which "
            "training images) that the row averages. With all training images there "
            "is only one selection, so fewer pairs."
        ),
        "Unselected": (
            "scored traits that none of the training images shows, mean over the "
            "seeds. No prototype can be chosen for them: they count with their chance "
            "level, never with a guess."
        ),
    }
