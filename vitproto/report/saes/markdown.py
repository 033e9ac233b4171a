"""The table of autoencoders as Markdown, with what its columns mean."""

import pandas as pd

from vitproto.prototypes.sae.convergence import STILL_IMPROVING
from vitproto.prototypes.sae.frequency import ALMOST_DEAD, DENSE
from vitproto.report.saes.matched import MEANING, show_matched
from vitproto.report.saes.metrics import describe_setting, name_kind
from vitproto.report.shared.markdown import (
    Section,
    TextTable,
    list_meanings,
    write_markdown,
)
from vitproto.report.shared.wording import (
    CONTROL_BADGE,
    NOTHING,
    count_decimals,
    write_significant,
)

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
    "Last quarter": "<",
    "Explained": "<",
    "L0": "<",
    "L1": "<",
    "Dead %": "<",
    "Almost dead %": "<",
    "Dense %": "<",
    "Correlation": "<",
    "Coherence": "<",
    "Trained on": ">",
}
"""Heading and alignment of each column."""

HEADING = "Autoencoders on held-out images"
MATCHED = "NMSE at equal L0"
BY_SETTING = "Autoencoders by setting"


def write_sae_table(
    table: pd.DataFrame, metrics: pd.DataFrame, n_correlated: int
) -> str:
    """Write the text of `sae_table.md`.

    Args:
        table: the rows of `tabulate_settings`.
        metrics: the rows of `read_metrics`.
        n_correlated: the number of latents whose correlations were measured, at most.
    """
    matched = show_matched(table)
    return write_markdown(
        f"# {HEADING}",
        write_summary(table, metrics),
        *([f"## {MATCHED}", matched, MEANING] if matched.rows else []),
        f"## {BY_SETTING}",
        show_saes(table),
        list_meanings(explain_sae_columns(table, n_correlated)),
    )


def describe_saes(table: pd.DataFrame, metrics: pd.DataFrame) -> Section:
    """Show the autoencoders as a section of the page.

    Args:
        table: the rows of `tabulate_settings`.
        metrics: the rows of `read_metrics`.
    """
    matched = show_matched(table)
    tables = {MATCHED: matched} if matched.rows else {}
    notes = [write_summary(table, metrics), *([MEANING] if matched.rows else [])]
    return Section(HEADING, notes, tables | {BY_SETTING: show_saes(table)})


def write_summary(table: pd.DataFrame, metrics: pd.DataFrame) -> str:
    """Sum up reconstruction, dead latents and convergence in a paragraph."""
    notes = (
        write_best_setting(table),
        write_dead_note(metrics),
        write_convergence_note(metrics),
    )
    return " ".join(note for note in notes if note)


def show_saes(table: pd.DataFrame) -> TextTable:
    """Format the table for readers."""
    return TextTable(COLUMNS, [_format(row) for _, row in table.iterrows()])


def write_best_setting(table: pd.DataFrame) -> str:
    """Name the setting that reconstructs best, and its number of active latents."""
    best = table.loc[table["nmse"].idxmin()]
    return (
        f"Of {len(table)} settings, {name_kind(best)} in layer {best['layer']} of "
        f"{best['encoder']}, {describe_setting(best)}, has the lowest reconstruction "
        f"error: NMSE {write_significant(best['nmse'])} with {best['l0']:.1f} latents "
        "active on a patch, where a constant reaches 1."
    )


def write_dead_note(metrics: pd.DataFrame) -> str:
    """Count the autoencoders of whose latents more than half are dead."""
    n_all = len(metrics)
    n_low = int((2 * metrics["n_dead"] > metrics["n_prototypes"]).sum())
    if n_all == 1:
        share = "More than half" if n_low else "At most half"
        return f"{share} of its latents are dead on held-out patches."
    if not n_low:
        return (
            f"In none of {n_all} autoencoders are more than half of the latents dead "
            "on held-out patches."
        )
    return (
        f"In {n_low} of {n_all} autoencoders, more than half of the latents are dead "
        "on held-out patches."
    )


def write_convergence_note(metrics: pd.DataFrame) -> str:
    """Count the autoencoders whose error still fell when their training ended."""
    judged = metrics[metrics["nmse_slope"].notna()]
    if judged.empty:
        return ""
    n_improving = int((judged["nmse_slope"] <= -STILL_IMPROVING).sum())
    at_the_end = (
        f"by at least {STILL_IMPROVING:.0%} over the last quarter of the training"
    )
    if not n_improving:
        return (
            f"In none of {len(judged)} trained autoencoders did the held-out NMSE "
            f"still fall {at_the_end}."
        )
    return (
        f"In {n_improving} of {len(judged)} trained autoencoders, the held-out NMSE "
        f"still fell {at_the_end}: they may improve with more patches, although a "
        "learning rate that falls meanwhile lowers the error too."
    )


def _format(row: pd.Series) -> list[str]:
    """Format a row of the table, a cell for each of `COLUMNS`."""

    def share(name: str) -> str:
        percent = 100 / row["n_prototypes"]
        return _with_sd(percent * row[name], percent * row[f"{name}_sd"], 1)

    def number(name: str, n_decimals: int | None = None) -> str:
        return _with_sd(row[name], row[f"{name}_sd"], n_decimals)

    return [
        name_kind(row),
        row["encoder"],
        str(row["layer"]),
        str(row["n_prototypes"]),
        "" if pd.isna(row["learning_rate"]) else f"{row['learning_rate']:.6g}",
        "" if pd.isna(row["sparsity"]) else f"{row['sparsity']:.6g}",
        str(row["n_seeds"]),
        number("mse"),
        number("nmse"),
        _write_last_quarter(row),
        number("explained_variance", 3),
        number("l0", 1),
        number("l1"),
        share("n_dead"),
        share("n_almost_dead") if _can_be_almost_dead(row) else NOTHING,
        share("n_dense"),
        number("mean_absolute_correlation", 3),
        number("coherence", 3),
        f"{row['n_trained_patches']:,}",
    ]


def explain_sae_columns(table: pd.DataFrame, n_correlated: int) -> dict[str, str]:
    """Explain the columns of the table.

    Args:
        table: the rows of `tabulate_settings`.
        n_correlated: the number of latents whose correlations were measured, at most.

    Returns:
        The meaning of each column, by name, in the order of the table.
    """
    n_patches = sorted(set(table["n_patches"]))
    patches = f"{n_patches[0]:,}"
    if len(n_patches) > 1:
        patches += f" to {n_patches[-1]:,}"
    almost_dead = f"latents with a frequency below {ALMOST_DEAD:g} that are not dead."
    if not table.apply(_can_be_almost_dead, axis=1).all():
        almost_dead += (
            f" {NOTHING} if there are at most {1 / ALMOST_DEAD:,.0f} patches: a latent "
            "that is active on a single patch is then at least as frequent as that."
        )
    return {
        "Method": f"{CONTROL_BADGE} marks an autoencoder that nothing has trained.",
        "Rate, Sparsity": (
            "the highest learning rate, and the weight of the L1 norm (ReLU) or the "
            "number of latents that may be active (TopK and its variants), or that "
            "should be on average (JumpReLU)."
        ),
        "Seeds": (
            "autoencoders that the row averages. ± is the standard deviation over them."
        ),
        "MSE": (
            f"squared error, summed over dimensions, mean over {patches} patches of "
            "images that no autoencoder was trained on, in the units of the "
            "autoencoder's input: activations minus their mean, divided by their mean "
            "norm. Compare it only where these are the same."
        ),
        "NMSE": (
            "the squared error as a share of the squared error of the patches' own "
            "mean: 0 is perfect, 1 is what a constant reaches, whatever the units."
        ),
        "Last quarter": (
            "how much the NMSE changed over the last quarter of the training, in "
            "percent of the NMSE at the end: the slope of a line through the errors on "
            "held-out patches. The learning rate may fall meanwhile. “Still improving” "
            f"where it fell by at least {STILL_IMPROVING:.0%}, with how many seeds. "
            "BatchTopK, which has no threshold yet, is measured with the largest "
            "latents of 512 patches at a time."
        ),
        "Explained": (
            "explained variance: 1 − variance of the error / variance of the "
            "activations, per dimension, then the mean over dimensions. Each dimension "
            "has the same weight."
        ),
        "L0": "latents that are not 0 on a patch, mean over the patches.",
        "L1": "the sum of the latents on a patch, mean over the patches.",
        "Dead %": (
            "latents that are 0 on all these patches. A latent's frequency is the "
            "share of patches on which it is not 0."
        ),
        "Almost dead %": almost_dead,
        "Dense %": f"latents with a frequency above {DENSE:g}.",
        "Correlation": (
            "mean absolute Pearson correlation between two different latents, over the "
            f"pairs that vary of {n_correlated:,} latents drawn at random (of all "
            "latents, if there are fewer)."
        ),
        "Coherence": (
            "the largest absolute cosine between two rows of the decoder: 1 if two "
            "latents have the same direction."
        ),
        "Trained on": (
            "patches of the training, each as often as it was used. The log of fit_sae "
            "has the seconds."
        ),
    }


def _write_last_quarter(row: pd.Series) -> str:
    if pd.isna(row["nmse_slope"]):
        return "too short to say" if row["n_trained_patches"] else NOTHING
    change = _with_sd(100 * row["nmse_slope"], 100 * row["nmse_slope_sd"], 1)
    change = f"{change.replace('-', '−')} %"
    if not row["n_improving"]:
        return change
    if row["n_improving"] == row["n_seeds"]:
        return f"{change}, still improving"
    return f"{change}, {row['n_improving']} still improving"


def _can_be_almost_dead(row: pd.Series) -> bool:
    return bool(row["n_patches"] * ALMOST_DEAD > 1)


def _with_sd(mean: float, sd: float, n_decimals: int | None) -> str:
    """A mean and its standard deviation; with three significant digits by default."""
    if pd.isna(mean):
        return NOTHING
    if n_decimals is None:
        n_decimals = count_decimals(mean)
    spread = "" if pd.isna(sd) else f" ± {sd:.{n_decimals}f}"
    return f"{mean:.{n_decimals}f}{spread}"
