"""Tabulate the cost of a study's jobs, from the records that Snakemake keeps."""

import math
from collections import Counter
from pathlib import Path

import pandas as pd

from vitproto.core import device_memory
from vitproto.planning.wording import duration
from vitproto.report.shared.markdown import TextTable, write_markdown

COLUMNS = [
    *("stage", "n_jobs", "n_without_record", "seconds", "median_seconds"),
    *("longest_seconds", "memory_mb", "device_memory_mb"),
]
"""The columns of `cost_table.csv`."""

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


def read_records(jobs: Path) -> pd.DataFrame:
    """Read what each job took; numbers of a job without a record are NaN.

    Args:
        jobs: the CSV file that lists the jobs: the `stage` of each, and its `record`,
            the benchmark file. The record may be missing; the job's log lies beside it.

    Returns:
        A row for each job: `stage`, `seconds`, `memory_mb` and `device_memory_mb`.

    Raises:
        ValueError: the list is missing, or a record cannot be read.
    """
    if not jobs.is_file():
        raise ValueError(
            f"{jobs} is missing, the list of the study's jobs: a run writes it before "
            "its first job unless --no-hooks is given, so run Snakemake without that"
        )
    try:
        listed = pd.read_csv(jobs, dtype=str, keep_default_na=False)
        listed = listed[["stage", "record"]]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{jobs} is no list of jobs ({error}): delete it, and run again"
        ) from error
    rows = [
        {"stage": stage} | (_read(Path(record)) if Path(record).is_file() else {})
        for stage, record in zip(listed["stage"], listed["record"], strict=True)
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
            f"{record} is not a record of a job ({error}): delete it, the table is "
            "made without it"
        ) from error
    log = record.with_suffix(".log")
    text = log.read_text(errors="replace") if log.is_file() else ""
    n_bytes = device_memory.from_log(text)
    device = math.nan if n_bytes is None else n_bytes / _MB
    return {"seconds": seconds, "memory_mb": memory, "device_memory_mb": device}


def tabulate(jobs: pd.DataFrame) -> pd.DataFrame:
    """Make a row for each stage, in the order of its first job, with `COLUMNS`.

    Args:
        jobs: a row for each job, from `read_records`.
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


def write_cost_table(table: pd.DataFrame) -> str:
    """Write the table of costs for readers, in Markdown.

    Args:
        table: a row for each stage, from `tabulate`.
    """
    rows = [_cells(row) for _, row in table.iterrows()]
    n_jobs = int(table["n_jobs"].sum())
    return write_markdown(
        "# What did the study cost?",
        f"{n_jobs} jobs, {duration(table['seconds'].sum())} one after the other. "
        f"{_missing(table)}",
        TextTable(_HEADINGS, rows),
        "Each job counts once, as it was last run. Other studies may share the jobs "
        "that prepare data and record activations.",
        [
            "**Together**: all jobs of the stage, one after the other.",
            "**Memory**: resident memory of the largest job with all its processes, "
            "sampled every half second at first and every 30 s later, so short peaks "
            "may be missed.",
            "**GPU memory**: the largest amount that a job's tensors held.",
        ],
    )


def _missing(table: pd.DataFrame) -> str:
    """Say how many jobs have no record."""
    missing = Counter(
        dict(zip(table["stage"], table["n_without_record"].astype(int), strict=True))
    )
    n_missing = missing.total()
    if n_missing == 0:
        return "Each of them has a record."
    named = ", ".join(f"{stage} {n}" for stage, n in missing.items() if n)
    return (
        f"{n_missing} of them have no record and are not in these numbers ({named}): "
        "their results were made elsewhere, their records are gone, or their rules "
        "have no `benchmark`."
    )


def _cells(row: pd.Series) -> list[str]:
    has_record = row["n_without_record"] < row["n_jobs"]
    return [
        row["stage"],
        str(row["n_jobs"]),
        _time(row["seconds"] if has_record else math.nan),
        _time(row["median_seconds"]),
        _time(row["longest_seconds"]),
        _memory(row["memory_mb"]),
        _memory(row["device_memory_mb"]),
    ]


def _time(seconds: int | float) -> str:
    return _NOTHING if pd.isna(seconds) else duration(seconds)


def _memory(megabytes: int | float) -> str:
    if pd.isna(megabytes):
        return _NOTHING
    if megabytes < 1024:
        return f"{megabytes:.0f} MB"
    return f"{megabytes / 1024:.1f} GB"
