"""The dry run of a study with 2,000 rows, against starting Snakemake at all."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from timing import Row, paired, run_alone

from vitproto.study.run_table import expand_runs

PROJECT = Path(__file__).resolve().parents[1]
MANY = PROJECT / "tests/workflow/many.yaml"
AIM_S = 20


def bench() -> list[Row]:
    """Compare with `snakemake --version`: nothing can take less."""
    study = yaml.safe_load(MANY.read_text())
    runs = expand_runs(study["runs"], study["encoders"])
    study["runs"] = [
        run.family._asdict()
        | {k: v for k, v in dataclasses.asdict(run.run).items() if v is not None}
        for run in runs
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "many.yaml"
        file.write_text(yaml.safe_dump(study))
        profile = PROJECT / "profiles/slurm"

        def dry_run() -> None:
            _snakemake(
                *("all", "--dry-run", "--snakefile", PROJECT / "Snakefile"),
                *("--directory", folder, "--configfile", file, "--profile", profile),
            )

        times = paired(dry_run, lambda: _snakemake("--version"), n_pairs=3)
    return [
        Row(
            work="dry run",
            conditions=f"{len(runs):,} rows in {len({run.family for run in runs})} "
            "families, for SLURM, without results",
            ours="vitproto",
            ours_median=times.ours_s,
            peer="`snakemake --version`",
            peer_median=times.peer_s,
            unit="s",
            larger_is_better=False,
            ratio=times.ratio,
            aim=f"ours ≤ {AIM_S} s",
        )
    ]


def _snakemake(*args: str | Path) -> None:
    # Snakemake and the scripts of this environment, and the package of this project.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["snakemake", *map(str, args)],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


if __name__ == "__main__":
    run_alone(bench)
