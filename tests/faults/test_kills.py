"""Whatever is killed, and whenever: results are whole or absent, and come out the same.

`make fault-test` kills 200 single stages and 20 whole runs, or `FAULT_KILLS` and
`FAULT_RUNS`; other tests a few. `FAULT_SEED` draws stages and moments.
"""

import os
import random
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from reliability import STUDY, TABLE, make_study
from reliability import run as run_study
from study_copy import environment, snakemake

N_KILLS = int(os.environ.get("FAULT_KILLS", "3"))
N_RUNS = int(os.environ.get("FAULT_RUNS", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0"))
IS_FULL = N_KILLS > 10
"""Whether stages of trainings and of suppression are killed, too."""


class Stage(NamedTuple):
    """A job of a finished study."""

    name: str
    command: str
    outputs: list[Path]
    """Relative to the study's folder."""
    took_s: float
    """How long it took in the finished study."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Finished studies, with their jobs. Only to be read."""
    workdir = make_study(tmp_path_factory.mktemp("finished"))
    assert not run_study(workdir).failed
    studies = [("micro.yaml", TABLE)]
    if IS_FULL:
        scenes = "results/tinyscenes/suppression_table.md"
        studies += [("tiny.yaml", "results/tiny/sae_table.md"), (SCENES, scenes)]
    jobs = []
    for study, target in studies:
        command = (target, "--configfile", study, "--profile", "profiles/local")
        shown = snakemake(workdir, *command)
        assert shown.returncode == 0, shown.stdout
        listed = snakemake(workdir, "-n", "-p", "--forceall", *command)
        jobs += stages_in(listed.stdout, workdir)
    return workdir, jobs


SCENES = "tiny_scenes.yaml"


def stages_in(dry_run: str, workdir: Path) -> list[Stage]:
    """The jobs of a dry run with `-p`, in a finished study."""
    found = []
    for block in re.split(r"\n\[.*\]\n", dry_run)[1:]:
        name = re.search(r"rule (\w+):", block)
        outputs = re.search(r"^    output: (.*)$", block, re.M)
        benchmark = re.search(r"^    benchmark: (.*)$", block, re.M)
        shell = re.search(r"^Shell command:(.*?2>&1)", block, re.M | re.S)
        if name and outputs and benchmark and shell:
            paths = [Path(path) for path in outputs[1].split(", ")]
            record = (workdir / benchmark[1]).read_text().splitlines()[1]
            found.append(Stage(name[1], shell[1], paths, float(record.split("\t")[0])))
    return found


def start(workdir: Path, command: str) -> subprocess.Popen:
    return subprocess.Popen(
        ["bash", "-c", command],
        cwd=workdir,
        env=environment(workdir),
        start_new_session=True,
    )


def kill(process: subprocess.Popen) -> None:
    """Kill a process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def contents(path: Path) -> dict[str, bytes]:
    """What a file holds, or all files of a folder but for Snakemake's own."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".snakemake_timestamp"
    }


def forget(workdir: Path, stage: Stage) -> None:
    """Delete what a stage has written, as for its first run."""
    for output in stage.outputs:
        path = workdir / output
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if stage.name.startswith("fit_"):
        shutil.rmtree(workdir / "results/checkpoints")


def clear_folders(workdir: Path, stage: Stage) -> None:
    """Delete the folders that a stage writes, as Snakemake does before a job."""
    for output in stage.outputs:
        if (workdir / output).is_dir():
            shutil.rmtree(workdir / output)


def left_over(workdir: Path) -> list[str]:
    """Partial files and states of unfinished jobs."""
    named = (path.name for path in (workdir / "results").rglob("*"))
    return [name for name in named if "partial-" in name or "unfinished" in name]


# The longest come first, so that no process is left with many of them.
@pytest.mark.parametrize("i", range(N_RUNS))
def test_a_killed_run_ends_the_same(finished, tmp_path, i):
    source, _ = finished
    rng = random.Random(f"{SEED} run {i}")
    workdir = make_study(tmp_path)
    for _ in range(rng.choice((1, 2))):
        command = ["snakemake", TABLE, *STUDY]
        process = start(workdir, " ".join(command) + " >said.txt 2>&1")
        try:
            process.wait(timeout=rng.uniform(2, 40))
        except subprocess.TimeoutExpired:
            kill(process)
        assert snakemake(workdir, "--unlock", *STUDY).returncode == 0
    last = run_study(workdir)
    assert not last.failed, last.said
    for name in ("map_table.md", "map_table.csv", "comparison_table.csv"):
        table = Path("results/micro") / name
        assert (workdir / table).read_bytes() == (source / table).read_bytes()
    assert not any("partial-" in name for name in left_over(workdir))


@pytest.mark.parametrize("i", range(N_KILLS))
def test_a_killed_stage_leaves_whole_results_or_none_and_ends_the_same(
    finished, tmp_path, i
):
    source, jobs = finished
    rng = random.Random(f"{SEED} stage {i}")
    # Each rule as often as others, however many jobs it has.
    rule = rng.choice(sorted({job.name for job in jobs}))
    stage = rng.choice([job for job in jobs if job.name == rule])
    workdir = tmp_path / "study"
    shutil.copytree(source, workdir, symlinks=True)
    forget(workdir, stage)
    whole = {output: contents(source / output) for output in stage.outputs}
    # Most of the time goes into imports, so most kills come in the second half.
    for _ in range(rng.choice((1, 1, 2))):
        clear_folders(workdir, stage)
        process = start(workdir, stage.command)
        try:
            process.wait(timeout=stage.took_s * rng.triangular(0, 1.1, 0.9))
        except subprocess.TimeoutExpired:
            kill(process)
        for output in stage.outputs:
            if (workdir / output).exists():
                assert contents(workdir / output) == whole[output], stage
    clear_folders(workdir, stage)
    process = start(workdir, stage.command)
    assert process.wait(timeout=300) == 0, stage
    assert {out: contents(workdir / out) for out in stage.outputs} == whole, stage
    assert left_over(workdir) == []
