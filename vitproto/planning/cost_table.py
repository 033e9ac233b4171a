"""What did the jobs of a study take? From the records that Snakemake keeps of each."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.core import device_memory
from vitproto.report.shared.markdown import TextTable, align

COLUMNS = [
    *("stage", "n_jobs", "n_without_record", "seconds", "median_seconds"),
    *("longest_seconds", "memory_mb", "device_memory_mb"),
]
"""Of `cost_table.csv`."""

_HEADINGS = {
    "Stage": "<",
    "Jobs": ">",
    "Together": ">",
    "Median": ">",
    "Longest": ">",
    "Memory": ">",
    "GPU memory": ">",
}
_NOTHING = "–"
_MB = 2**20


def read_records(stages: Sequence[str], records: Sequence[Path]) -> pd.DataFrame:
    """Read what each job took; a job without a record has none of the numbers.

    Args:
        stages: of each job.
        records: its benchmark file, which may be gone; its log lies beside it.

    Returns:
        A row for each job: `stage`, `seconds`, `memory_mb` and `device_memory_mb`,
        NaN where they are not known.

    Raises:
        ValueError: a file is no record.
    """
    assert len(stages) == len(records)
    rows = [
        {"stage": stage} | (_read(record) if record.is_file() else {})
        for stage, record in zip(stages, records, strict=True)
    ]
    columns = ["stage", "seconds", "memory_mb", "device_memory_mb"]
    return pd.DataFrame(rows, columns=columns)


def _read(record: Path) -> dict[str, float]:
    try:
        # A job that ends at once has NA as its memory.
        row = pd.read_csv(record, sep="\t", na_values=["NA", "-"]).iloc[-1]
        seconds, memory = float(row["s"]), float(row["max_rss"])
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"{record} is no record of a job ({error}): delete it, the table does "
            "without"
        ) from error
    log = record.with_suffix(".log")
    text = log.read_text(errors="replace") if log.is_file() else ""
    n_bytes = device_memory.from_log(text)
    device = math.nan if n_bytes is None else n_bytes / _MB
    return {"seconds": seconds, "memory_mb": memory, "device_memory_mb": device}


def tabulate(jobs: pd.DataFrame) -> pd.DataFrame:
    """A row for each stage, in the order of its first job; columns as `COLUMNS`.

    Args:
        jobs: what `read_records` gives.
    """
    table = jobs.groupby("stage", sort=False).agg(
        n_jobs=("stage", "size"),
        n_without_record=("seconds", lambda seconds: int(seconds.isna().sum())),
        seconds=("seconds", "sum"),
        median_seconds=("seconds", "median"),
        longest_seconds=("seconds", "max"),
        memory_mb=("memory_mb", "max"),
        device_memory_mb=("device_memory_mb", "max"),
    )
    return table.reset_index()[COLUMNS]


def write_markdown(table: pd.DataFrame) -> str:
    """What does a reader see in `cost_table.md`?

    Args:
        table: what `tabulate` gives.
    """
    rows = [_cells(row) for _, row in table.iterrows()]
    n_jobs = int(table["n_jobs"].sum())
    return "\n".join(
        [
            "# What did the study cost?",
            "",
            f"{n_jobs} jobs, {_duration(table['seconds'].sum())} one after the other. "
            f"{_missing(table)}",
            "",
            *align(TextTable(_HEADINGS, rows)),
            "",
            "Each job counts once, as it was last run. Data, activations and their",
            "jobs may be shared with other studies.",
            "",
            "- **Together**: all jobs of the stage, one after the other.",
            "- **Memory**: resident, of the largest job with all its processes. It is",
            "  looked at every half second at first, later every 30 s: a short peak",
            "  may be missed.",
            "- **GPU memory**: the most that a job's tensors held.",
            "",
        ]
    )


def _missing(table: pd.DataFrame) -> str:
    """For how many jobs is there no record?"""
    missing = Counter(
        dict(zip(table["stage"], table["n_without_record"].astype(int), strict=True))
    )
    n_missing = missing.total()
    if n_missing == 0:
        return "Each of them has a record."
    named = ", ".join(f"{stage} {n}" for stage, n in missing.items() if n)
    return (
        f"{n_missing} of them have no record and are not in these numbers ({named}): "
        "their results were made elsewhere, or their records are gone."
    )


def _cells(row: pd.Series) -> list[str]:
    return [
        row["stage"],
        str(row["n_jobs"]),
        _duration(
            row["seconds"] if row["n_without_record"] < row["n_jobs"] else math.nan
        ),
        _duration(row["median_seconds"]),
        _duration(row["longest_seconds"]),
        _memory(row["memory_mb"]),
        _memory(row["device_memory_mb"]),
    ]


def _duration(seconds: int | float) -> str:
    """`2.4 s`, `3 min 20 s`, `2 h 05 min`."""
    if pd.isna(seconds):
        return _NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _memory(megabytes: int | float) -> str:
    if pd.isna(megabytes):
        return _NOTHING
    if megabytes < 1024:
        return f"{megabytes:.0f} MB"
    return f"{megabytes / 1024:.1f} GB"
