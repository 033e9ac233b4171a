"""The mAP table in words: its headline and what its columns mean."""

import pandas as pd

from vitproto.report.shared.runs import SETTING, name_setting


def count_images(splits: pd.DataFrame, table: pd.DataFrame) -> dict[str, int]:
    """Count the images of each split.

    Args:
        splits: the splits of the data set that the table is about.
        table: the rows of `tabulate_configurations`.

    Raises:
        ValueError: a row was chosen on more training images than the split has, so
            the table is of another data set.
    """
    n_images = {
        split: int((splits["split"] == split).sum()) for split in ("train", "test")
    }
    most = int(table["n_train"].max())
    if most > n_images["train"]:
        raise ValueError(
            f"the AP files name {most} training images, but the list of splits has "
            f"{n_images['train']}: give the splits of the same data set"
        )
    return n_images


def find_best(table: pd.DataFrame) -> pd.Series:
    """The configuration with the highest mAP, the first of equals.

    Only settings that were chosen on training images count.
    """
    return table.loc[table.loc[table["is_chosen"], "map"].idxmax()]


def format_map(row: pd.Series) -> str:
    """An mAP as tables show it: `0.474 ± 0.004`, with † if it is not above chance."""
    spread = "" if pd.isna(row["map_sd"]) else f" ± {row['map_sd']:.3f}"
    low = "" if row["above_chance"] else " †"
    return f"{row['map']:.3f}{spread}{low}"


def describe_configuration(row: pd.Series) -> str:
    """Name a configuration in words."""
    setting = name_setting(row)
    return (
        f"{row['n_prototypes']} {row['method']} prototypes"
        f"{f' ({setting})' if setting else ''} in layer {row['layer']} of "
        f"{row['encoder']}, chosen on {row['n_train']} training images"
    )


def write_best_map(table: pd.DataFrame) -> str:
    """Name the best configuration, and say whether it is above chance."""
    best = find_best(table)
    n_compared = int(table["is_chosen"].sum())
    reached = f"mAP {best['map']:.3f}, where chance is {best['chance']:.3f}"
    if best["above_chance"]:
        begin = f"The best of {n_compared} configurations reaches {reached}"
    else:
        begin = f"No configuration is above chance: the best of {n_compared} reaches "
        begin += reached
    return f"{begin}: {describe_configuration(best)}."


def write_chance_note(table: pd.DataFrame) -> str:
    """Count the rows that are no better than constant scores."""
    n_low = int((~table["above_chance"]).sum())
    if n_low == 0:
        return f"All {len(table)} rows are above chance."
    verb = "is" if n_low == 1 else "are"
    return (
        f"{n_low} of {len(table)} rows {verb} at or below chance (marked †): constant "
        "scores would do as well or better."
    )


def explain_maps(rows: pd.DataFrame) -> str:
    """Explain the mAPs of a table that compares layers or encoders.

    Args:
        rows: the rows of the table, of one data set and `n_train`.
    """
    first = rows.iloc[0]
    return (
        f"mAP on the test images of {first['dataset']}, of prototypes chosen on "
        f"{first['n_train']:,} training images. Constant scores reach "
        f"{first['chance']:.3f}. ± is the standard deviation over the seeds; † marks "
        "values at or below chance."
    )


def explain_map_columns(
    table: pd.DataFrame, n_images: dict[str, int]
) -> dict[str, str]:
    """Explain the columns of the mAP table.

    Args:
        table: the rows of `tabulate_configurations`.
        n_images: the number of images in the splits `train` and `test`.

    Returns:
        The meaning of each column, by name, in the order of the table.
    """
    n_traits = int(table["n_traits"].iloc[0])
    meanings = {}
    if (table["n_settings"] > 1).any():
        meanings["Method"] = (
            "if a method has several settings, ‡ marks the one that is compared with "
            "other methods and drawn: the one whose prototypes have the highest AP on "
            "all the training images that they were chosen on. Test images play no "
            "part."
        )
    meanings["Alive"] = (
        "prototypes that do not score all training images alike, mean over the fit "
        "seeds. The others, such as latents that are never active, find nothing."
    )
    if table[SETTING].notna().any(axis=None):
        meanings["LR, Sparsity"] = (
            "for trained methods, the learning rate, and the weight of the L1 norm or "
            "the number of latents that may be active at a time."
        )
    return meanings | {
        "Train": (
            f"images that prototypes are chosen on, of {n_images['train']} in the "
            "training split. For each trait, the prototype with the highest average "
            "precision (AP) on them is chosen."
        ),
        "mAP": (
            f"AP of the chosen prototype on all {n_images['test']} test images, mean "
            "over the traits. ± is the standard deviation over the seeds."
        ),
        "5%, 95%": "percentiles of that AP over the traits, mean over the seeds.",
        "Chance": (
            "the mAP of constant scores, which is the mean share of test images that "
            "show a trait."
        ),
        "Traits": (
            f"traits that at least one test image shows: only these {n_traits} are "
            "scored."
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
