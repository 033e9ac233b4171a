"""The table of autoencoders as Markdown, with what its columns mean."""

import math

import pandas as pd

from vitproto.prototypes.sae.frequency import ALMOST_DEAD, DENSE
from vitproto.report.saes.metrics import describe_setting
from vitproto.report.shared.markdown import Section, TextTable, align

COLUMNS = {
    "Method": "<",
    "Encoder": "<",
    "Layer": ">",
    "Latents": ">",
    "Rate": ">",
    "Sparsity": ">",
    "Seeds": ">",
    "MSE": "<",
    "NMSE": "<",
    "Explained": "<",
    "L0": "<",
    "L1": "<",
    "Dead %": "<",
    "Almost dead %": "<",
    "Dense %": "<",
    "Correlation": "<",
    "Coherence": "<",
}
"""Heading and alignment of each column."""

NOTHING = "–"

HEADING = "What are the autoencoders like?"


def write_markdown(
    table: pd.DataFrame, metrics: pd.DataFrame, n_correlated: int
) -> str:
    """What does a reader see in `sae_table.md`?

    Args:
        table: what `tabulate` gives.
        metrics: what it was made from.
        n_correlated: latents whose correlations were measured, at most.
    """
    meanings = explain_columns(table, n_correlated)
    return "\n".join(
        [
            f"# {HEADING}",
            "",
            f"{write_headline(table)} {write_dead_note(metrics)}",
            "",
            *align(show_table(table)),
            "",
            *(f"- **{name}**: {meaning}" for name, meaning in meanings.items()),
            "",
        ]
    )


def describe_saes(table: pd.DataFrame, metrics: pd.DataFrame) -> Section:
    """What are the autoencoders like? As a section of the page.

    Args:
        table: what `tabulate` gives.
        metrics: what it was made from.
    """
    said = f"{write_headline(table)} {write_dead_note(metrics)}"
    return Section(HEADING, [said], {"Autoencoders by setting": show_table(table)})


def show_table(table: pd.DataFrame) -> TextTable:
    """The table as it is shown, with `COLUMNS`."""
    return TextTable(COLUMNS, [format_cells(row) for _, row in table.iterrows()])


def write_headline(table: pd.DataFrame) -> str:
    """Which setting reconstructs best, and with how many latents at a time?"""
    best = table.loc[table["nmse"].idxmin()]
    return (
        f"Of {len(table)} settings {best['method']} in layer {best['layer']} of "
        f"{best['encoder']}, {describe_setting(best)}, leaves the least unexplained: "
        f"NMSE {_significant(best['nmse'])} with {best['l0']:.1f} latents active on a "
        "patch, where a constant reaches 1."
    )


def write_dead_note(metrics: pd.DataFrame) -> str:
    """How many autoencoders are more than half dead?"""
    n_all = len(metrics)
    n_low = int((2 * metrics["n_dead"] > metrics["n_prototypes"]).sum())
    if n_all == 1:
        begin = "In the autoencoder" if n_low else "In no autoencoder"
    else:
        begin = f"In {n_low or 'none'} of {n_all} autoencoders"
    return f"{begin} more than half of the latents are dead on held-out patches."


def format_cells(row: pd.Series) -> list[str]:
    """How is a row of the table printed? A cell for each of `COLUMNS`."""

    def share(name: str) -> str:
        percent = 100 / row["n_prototypes"]
        return _with_sd(percent * row[name], percent * row[f"{name}_sd"], 1)

    def number(name: str, n_decimals: int | None = None) -> str:
        return _with_sd(row[name], row[f"{name}_sd"], n_decimals)

    return [
        row["method"],
        row["encoder"],
        str(row["layer"]),
        str(row["n_prototypes"]),
        "" if pd.isna(row["learning_rate"]) else f"{row['learning_rate']:.6g}",
        "" if pd.isna(row["sparsity"]) else f"{row['sparsity']:.6g}",
        str(row["n_seeds"]),
        number("mse"),
        number("nmse"),
        number("explained_variance", 3),
        number("l0", 1),
        number("l1"),
        share("n_dead"),
        share("n_almost_dead") if _can_be_almost_dead(row) else NOTHING,
        share("n_dense"),
        number("mean_absolute_correlation", 3),
        number("coherence", 3),
    ]


def explain_columns(table: pd.DataFrame, n_correlated: int) -> dict[str, str]:
    """What does each column of the table mean?

    Returns:
        The meaning by name of the column, in the order of the table.
    """
    n_patches = sorted(set(table["n_patches"]))
    patches = f"{n_patches[0]:,}"
    if len(n_patches) > 1:
        patches += f" to {n_patches[-1]:,}"
    almost_dead = (
        f"latents with a lower frequency than {ALMOST_DEAD:g} that are not dead."
    )
    if not table.apply(_can_be_almost_dead, axis=1).all():
        almost_dead += (
            f" {NOTHING} where there can be none: a latent that is active on a single "
            f"patch is no rarer, unless there are over {1 / ALMOST_DEAD:,.0f} patches."
        )
    return {
        "Rate, Sparsity": (
            "the highest learning rate, and the weight of the L1 norm (ReLU) or the "
            "latents that may be active (TopK and its kin)."
        ),
        "Seeds": (
            "autoencoders that the row averages. ± is the standard deviation over them."
        ),
        "MSE": (
            f"mean squared error on {patches} patches of images that no autoencoder "
            "learnt from, in units of what the autoencoder sees: activations minus "
            "their mean, divided by their norm. Compare it where these are the same."
        ),
        "NMSE": (
            "the squared error as a share of what the mean of the same patches leaves: "
            "0 is perfect, 1 is what a constant reaches, whatever the units."
        ),
        "Explained": (
            "explained variance: 1 − variance of the error / variance of the "
            "activations, per dimension, then the mean over dimensions. Each dimension "
            "counts alike."
        ),
        "L0": "latents that are not 0 on a patch, mean over the patches.",
        "L1": "the sum of the latents on a patch, mean over the patches.",
        "Dead %": (
            "latents that are 0 on all these patches. A latent's frequency is the "
            "share of patches on which it is not 0."
        ),
        "Almost dead %": almost_dead,
        "Dense %": f"latents with a higher frequency than {DENSE:g}.",
        "Correlation": (
            "mean absolute Pearson correlation between two different latents, over the "
            f"pairs that vary of {n_correlated:,} latents drawn at random (of all, if "
            "there are fewer)."
        ),
        "Coherence": (
            "the largest absolute cosine between two rows of the decoder: 1 where two "
            "latents stand for the same direction."
        ),
    }


def _can_be_almost_dead(row: pd.Series) -> bool:
    return bool(row["n_patches"] * ALMOST_DEAD > 1)


def _with_sd(mean: float, sd: float, n_decimals: int | None) -> str:
    """A mean and its standard deviation; three significant digits if not told."""
    if pd.isna(mean):
        return NOTHING
    if n_decimals is None:
        n_decimals = _n_decimals(mean)
    spread = "" if pd.isna(sd) else f" ± {sd:.{n_decimals}f}"
    return f"{mean:.{n_decimals}f}{spread}"


def _significant(value: float) -> str:
    return f"{value:.{_n_decimals(value)}f}"


def _n_decimals(value: float) -> int:
    """Decimals that show three significant digits, in whole numbers all of them."""
    return 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
