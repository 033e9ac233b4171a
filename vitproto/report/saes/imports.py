"""Imported autoencoders: how well each reconstructs the study's activations."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.report.shared.markdown import Section, TextTable
from vitproto.report.shared.runs import FAMILY
from vitproto.report.shared.typed_csv import read_together, read_typed
from vitproto.report.shared.wording import NOTHING, write_number
from vitproto.study.imported import DOUBTFUL_NMSE

HEADING = "Imported autoencoders"

COLUMNS = {
    "encoder": "str",
    "layer": "int64",
    "method": "str",
    "file": "str",
    "n_images": "int64",
    "n_patches": "int64",
    "nmse": "float64",
    "l0": "float64",
}
"""Columns of `import_check.csv`, and their types."""


def read_imports(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the checks of all imported autoencoders.

    Args:
        paths: the files of import_sae.py, in any order.

    Returns:
        A row for each, sorted.

    Raises:
        ValueError: no file was named, a column is missing, a value is not a number, or
            an autoencoder is there twice.
    """
    return read_together(paths, _read_check, FAMILY, "checks of imports")


def describe_imports(checks: pd.DataFrame) -> Section:
    """Show the checks as a section of the page, first those that are doubtful.

    Args:
        checks: the rows of `read_imports`.
    """
    columns = {"Method": "<", "Encoder": "<", "Layer": ">", "File": "<"}
    measured = {"Images": ">", "NMSE": ">", "L0": ">"}
    rows = [
        [
            *(row["method"], row["encoder"], str(row["layer"]), row["file"]),
            str(row["n_images"]),
            write_number(row["nmse"]) if pd.notna(row["nmse"]) else NOTHING,
            write_number(row["l0"], 1),
        ]
        for _, row in checks.iterrows()
    ]
    table = TextTable(columns | measured, rows)
    return Section(HEADING, [write_import_note(checks)], {"NMSE and L0": table})


def write_import_note(checks: pd.DataFrame) -> str:
    """Name the imports that reconstruct badly, and what may be the cause."""
    what = (
        "NMSE is the squared error on some images of the study, as a share of the "
        "squared error of the patches' mean: a constant reaches 1."
    )
    doubtful = checks[checks["nmse"] > DOUBTFUL_NMSE]
    if doubtful.empty:
        if checks["nmse"].isna().any():
            what += f" There is none ({NOTHING}) where all these patches are equal."
        return f"No import has an NMSE above {DOUBTFUL_NMSE:g}. {what}"
    named = "; ".join(
        f"{row['method']} in layer {row['layer']} of {row['encoder']}, "
        f"{write_number(row['nmse'])}"
        for _, row in doubtful.iterrows()
    )
    return (
        f"These reconstruct the study's activations badly (NMSE above "
        f"{DOUBTFUL_NMSE:g}), so what the tables say of their latents may be about a "
        f"wrong reading of the file, or another encoder or layer: {named}. {what}"
    )


def _read_check(path: Path) -> pd.DataFrame:
    return read_typed(path, COLUMNS, may_be_empty=["nmse"])
