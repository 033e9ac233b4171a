"""Will SLURM take a study's jobs? Asked before the first one is submitted."""

import getpass
import logging
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_executor_plugin_slurm.accounts import get_account, validate_account
from snakemake_executor_plugin_slurm.utils import get_job_wildcards
from snakemake_interface_common.exceptions import WorkflowError

PROGRAMS = ("sbatch", "sinfo", "squeue", "sacct")
ANSWERS_WITHIN_S = 60

_REFUSAL = re.compile(
    r"invalid partition|no partition specified|invalid account"
    r"|not permitted to use this partition",
    re.IGNORECASE,
)


class Place(NamedTuple):
    """Where a job is to run, and who pays."""

    partition: str | None
    """A name, or several with commas; SLURM has a default."""
    account: str | None
    """The same; without one, the account of the last job is guessed."""


class _NoAnswerError(Exception):
    """SLURM did not answer; why."""


def refusals(jobs: Sequence[Any], workflow: Any, profiles: Path) -> list[str]:
    """Why can some jobs of Snakemake not be submitted?

    Args:
        jobs: what is to run.
        workflow: that of Snakemake.
        profiles: the folder of profiles, to say which line to change.
    """
    others = ("cluster", "clusters", "slurm_cluster")
    places = {
        Place(job.resources.get("slurm_partition"), job.resources.get("slurm_account"))
        for job in jobs
        # What another cluster has cannot be asked here.
        if not any(job.resources.get(key) for key in others)
    }
    memory = workflow.persistence
    begun = {
        _comment(job)
        for job in jobs
        # As long as a job has not ended well, Snakemake marks its outputs.
        if memory._filter_incomplete_keys(map(memory._get_key, job.output))
    }
    return problems(places, begun, Path(workflow.workdir_init), profiles)


def _comment(job: Any) -> str:
    """What the plugin writes as the comment of a job of SLURM."""
    wildcards = get_job_wildcards(job)
    return f"rule_{job.name}" + (f"_wildcards_{wildcards}" if wildcards else "")


def problems(
    places: Iterable[Place], begun: set[str], workdir: Path, profiles: Path
) -> list[str]:
    """One sentence for each reason why jobs cannot be submitted.

    Args:
        places: where jobs are to run.
        begun: those that an earlier run began and did not see end, by the comments
            that SLURM has of them.
        workdir: the folder in which the study runs.
        profiles: the folder of profiles, to say which line to change.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return [
            f"SLURM is not installed on this machine, there is no {missing[0]}: log in "
            "to the cluster, or use --profile profiles/default"
        ]
    try:
        partitions = _ask("sinfo", "--noheader", "--all", "--format=%R").split()
        ordered = sorted(set(places), key=lambda place: tuple(map(str, place)))
        found = [_refusal(place, partitions, profiles) for place in ordered]
        still = _still_there(begun, workdir)
    except _NoAnswerError as error:
        return [f"SLURM does not answer: {error}"]
    return [*dict.fromkeys(filter(None, [*found, still]))]


def _refusal(place: Place, partitions: list[str], profiles: Path) -> str | None:
    """Why SLURM would not take a job there; nothing if it would."""
    for name in _names(place.partition):
        if name not in partitions:
            return (
                f"this cluster has no partition {name}, but {', '.join(partitions)}: "
                f"change {_where(profiles, 'slurm_partition', place.partition)}"
            )
    account = next(iter(_names(place.account)), None) or _guessed_account()
    said = _why_not(place.partition, account)
    for name in _names(place.account):
        said = _why_invalid(name) or said
    if said is None:
        return None
    here = f" in the partition {place.partition}" if place.partition else ""
    if "account" not in said.lower():
        key, value = "slurm_partition", place.partition
        takes = f"SLURM takes no job{here}"
    else:
        key, value = "slurm_account", place.account
        takes = f"SLURM takes no job of the account {value}{here}"
        if not value:
            takes = f"SLURM takes no job without an account{here}"
    return f"{takes} ({said}): change {_where(profiles, key, value)}"


def _names(several: str | None) -> list[str]:
    return [name for name in re.split(r"[,\s]+", str(several or "")) if name]


def _why_not(partition: str | None, account: str | None) -> str | None:
    """What SLURM says against a partition and account, without submitting a job."""
    asked = [f"--partition={partition}"] if partition else []
    asked += [f"--account={account}"] if account else []
    try:
        _ask("sbatch", "--test-only", *asked, "--wrap=true")
    except _NoAnswerError as error:
        # Others, such as a node that is down, may be different when it is its turn.
        return str(error) if _REFUSAL.search(str(error)) else None
    return None


def _why_invalid(account: str) -> str | None:
    """What the plugin will say against an account."""
    try:
        validate_account(account, logging.getLogger(__name__))
    except (WorkflowError, OSError) as error:
        return " ".join(str(error).split())
    return None


def _guessed_account() -> str | None:
    """The account that the plugin will take if none is named."""
    silent = logging.Logger("silent", logging.CRITICAL)
    try:
        return get_account(silent) or None
    except OSError:
        return None


def _where(profiles: Path, key: str, value: str | None) -> str:
    """`slurm_partition in profiles/slurm/config.yaml, lines 33, 41`."""
    if value:
        setting = re.compile(rf"^[^#]*\b{key}:[\s'\"]*{re.escape(str(value))}(?![\w-])")
        for file in sorted(profiles.glob("*/*.yaml")):
            lines = [
                str(i)
                for i, line in enumerate(file.read_text().splitlines(), start=1)
                if setting.match(line)
            ]
            if lines:
                name = file.relative_to(profiles.parent)
                word = "line" if len(lines) == 1 else "lines"
                return f"{key} in {name}, {word} {', '.join(lines)}"
    return f"{key} under default-resources and set-resources of your profile"


def _still_there(begun: set[str], workdir: Path) -> str | None:
    """Which jobs of an earlier run would write the same files as this one?"""
    if not begun:
        return None
    user = f"--user={getpass.getuser()}"
    found = []
    for line in _ask("squeue", "--noheader", user, "--format=%i|%k|%Z").splitlines():
        job, comment, folder = line.split("|", 2)
        if comment in begun and Path(folder).resolve() == workdir.resolve():
            found.append((job, comment))
    if not found:
        return None
    named = ", ".join(f"{job} ({comment})" for job, comment in found)
    return (
        f"jobs of an earlier run still make the same files: {named}: wait until "
        "squeue shows them no more, or cancel them: "
        f"scancel {' '.join(job for job, _ in found)}"
    )


def _ask(*command: str) -> str:
    """What SLURM answers."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWERS_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        said = f"{command[0]} said nothing for {ANSWERS_WITHIN_S} seconds"
        raise _NoAnswerError(said) from None
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines() or [f"{command[0]} failed"]
        raise _NoAnswerError(said[-1])
    return answer.stdout
