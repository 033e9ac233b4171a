"""The table of costs says what the jobs' records say, and what it does not know."""

import math
from pathlib import Path

import pytest

from vitproto.core.device_memory import from_log, to_line
from vitproto.planning.cost_table import read_records, tabulate, write_cost_table

HEAD = (
    "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
)


def record(folder: Path, name: str, seconds: float, memory: str, log: str = "") -> Path:
    path = folder / f"{name}.tsv"
    numbers = f"{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t50\t2"
    path.write_text(f"{HEAD}\n{numbers}\n")
    if log:
        path.with_suffix(".log").write_text(log)
    return path


def job_list(folder: Path, stages: list[str], records: list[Path | str]) -> Path:
    path = folder / "jobs.csv"
    rows = [f"{stage},{file}" for stage, file in zip(stages, records, strict=True)]
    path.write_text("\n".join(["stage,record", *rows, ""]))
    return path


def test_times_add_up_and_the_largest_memory_counts(tmp_path):
    on_gpu = f"12:00:01 started\n12:00:09 {to_line(5 * 2**20)}\n"
    records = [
        record(tmp_path, "a", 10.0, "100.5"),
        record(tmp_path, "b", 40.0, "300.25", on_gpu),
        record(tmp_path, "c", 20.0, "NA"),
        tmp_path / "gone.tsv",
        record(tmp_path, "d", 3725.0, "2048"),
        "",  # a rule that keeps no records
    ]
    stages = ["fit", "fit", "fit", "fit", "score", "show"]
    table = tabulate(read_records(job_list(tmp_path, stages, records)))
    assert [*table["stage"]] == ["fit", "score", "show"]
    fit, score, show = (row for _, row in table.iterrows())
    assert (fit["n_jobs"], fit["n_without_record"]) == (4, 1)
    assert (fit["seconds"], fit["median_seconds"]) == (70, 20)
    assert (fit["longest_seconds"], fit["memory_mb"]) == (40, 300.25)
    assert fit["device_memory_mb"] == 5
    assert math.isnan(score["device_memory_mb"])
    assert math.isnan(show["longest_seconds"])
    text = write_cost_table(table)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert rows[2:] == [
        ["fit", "4", "1.2 min", "20 s", "40 s", "300 MB", "5 MB"],
        ["score", "1", "1.0 h", "1.0 h", "1.0 h", "2.0 GB", "–"],
        ["show", "1", "–", "–", "–", "–", "–"],
    ]
    assert "6 jobs, 1.1 h one after the other" in text
    assert "2 of them have no record" in text
    assert "(fit 1, show 1)" in text


def test_a_damaged_record_is_named(tmp_path):
    damaged = tmp_path / "fit.tsv"
    damaged.write_text("s\tmax_rss\n")
    with pytest.raises(
        ValueError, match=r"fit\.tsv is not a record of a job .*delete it"
    ):
        read_records(job_list(tmp_path, ["fit"], [damaged]))


def test_a_list_of_jobs_that_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"jobs\.csv is missing.*--no-hooks"):
        read_records(tmp_path / "jobs.csv")


def test_the_last_peak_of_a_log_counts():
    assert from_log("nothing") is None
    assert from_log(f"{to_line(1)}\n{to_line(1234567)}\n") == 1234567
