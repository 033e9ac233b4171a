"""Which jobs of SLURM, left by an earlier run, make the same files as this one?

SLURM keeps the script of each job that waits or runs. Those that Snakemake submits name
the rules and wildcards that they are to make, also those of groups and arrays.
"""

import base64
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from snakemake_interface_executor_plugins.utils import encode_target_jobs_cli_args

from vitproto.slurm import commands

N_NAMED = 3

# The script holds Snakemake's command in quotes of a shell, escaped once or twice.
_TARGETS = re.compile(r"--target-jobs\s+(.*?)\s+--(?=[a-z])", re.DOTALL)
_CONFIGS = re.compile(r"--configfiles\s+(.*?)\s+--(?=[a-z])", re.DOTALL)
_ARRAY = re.compile(r"--slurm-jobstep-array-execs[=\s]+['\"\\]*([A-Za-z0-9+/=]+)")
_QUOTES = "'\"\\"


class Made(NamedTuple):
    """What a job of SLURM makes."""

    targets: frozenset[str]
    """Each as `rule:wildcard=value,…`, the way Snakemake names it."""
    configs: tuple[Path, ...]
    """The files of the configuration; without any, the study's own default."""


def made_by(script: str) -> Made:
    """What does a batch script make? Nothing, if Snakemake did not write it."""
    scripts = [script, *_members(script)]
    targets = {target for text in scripts for target in _words(_TARGETS, text)}
    configs = dict.fromkeys(Path(word) for word in _words(_CONFIGS, script))
    return Made(frozenset(targets), tuple(configs))


def refusals(
    jobs: Iterable[Any],
    study: str,
    workdir: Path,
    default_config: Path,
    live: Iterable[commands.LiveJob] | None = None,
) -> list[str]:
    """Why must some jobs of Snakemake not start now?

    Args:
        jobs: what is to run.
        study: the name of the study; files of others lie elsewhere, but for those of
            shared stages.
        workdir: the folder in which it runs.
        default_config: the study that runs where a command names none.
        live: the user's jobs; those that SLURM knows of if it is left out.

    Raises:
        commands.NoAnswerError: SLURM does not say what runs.
    """
    to_run = {_target(job): job for job in jobs}
    found = []
    for other in commands.live_jobs() if live is None else live:
        if other.folder.resolve() != workdir.resolve():
            continue
        made = made_by(commands.script_of(other.id))
        same = sorted(made.targets & to_run.keys())
        if not _is_of(study, made.configs or (default_config,), workdir):
            # What studies do not share lies in folders of their names.
            same = [
                target
                for target in same
                if not all(study in Path(file).parts for file in to_run[target].output)
            ]
        if same:
            found.append((other.id, _in_short(same)))
    if not found:
        return []
    named = ", ".join(f"{job} ({makes})" for job, makes in found)
    return [
        f"jobs of an earlier run still make the same files: {named}: wait until "
        "squeue no longer lists them, or cancel them: "
        f"scancel {' '.join(job for job, _ in found)}"
    ]


def _target(job: Any) -> str:
    (target,) = encode_target_jobs_cli_args(job.get_target_spec())
    return _plain(target)


def _words(pattern: re.Pattern[str], text: str) -> list[str]:
    return [
        word for found in pattern.findall(text) for word in map(_plain, found.split())
    ]


def _plain(word: str) -> str:
    return "".join(char for char in word if char not in _QUOTES)


def _members(script: str) -> list[str]:
    """The commands of the other members of an array."""
    found = _ARRAY.search(script)
    if found is None:
        return []
    packed: Mapping[str, str] = json.loads(base64.b64decode(found[1]))
    return [zlib.decompress(bytes.fromhex(text)).decode() for text in packed.values()]


def _is_of(study: str, configs: Iterable[Path], workdir: Path) -> bool:
    """Is that the configuration of a study? Also if nobody can tell any more."""
    names = set()
    for config in configs:
        try:
            found = yaml.safe_load((workdir / config).read_text(encoding="utf-8"))
            names.add(found["study"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            return True
    return study in names


def _in_short(targets: list[str]) -> str:
    names = [
        target.rstrip(":").replace(":", " ").replace(",", " ") for target in targets
    ]
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return "; ".join(names[:N_NAMED]) + more
