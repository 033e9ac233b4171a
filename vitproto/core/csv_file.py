"""Tables as CSV files."""

from pathlib import Path

import pandas as pd

from vitproto.core.files import whole_file


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all; the same table gives the same bytes.

    Numbers are written in full, and nothing for NaN.
    """
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
