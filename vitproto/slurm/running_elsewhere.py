"""Find SLURM jobs of an earlier run that make the same files as this run.

SLURM keeps the script of each job that waits or runs. Scripts that Snakemake submits
name the rules and wildcards to make, also for groups and arrays.
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

# The script holds Snakemake's command in shell quotes, escaped once or twice.
_TARGETS = re.compile(r"--target-jobs\s+(.*?)\s+--(?=[a-z])", re.DOTALL)
_CONFIGS = re.compile(r"--configfiles\s+(.*?)\s+--(?=[a-z])", re.DOTALL)
_ARRAY = re.compile(r"--slurm-jobstep-array-execs[=\s]+['\"\\]*([A-Za-z0-9+/=]+)")
_QUOTES = "'\"\\"


class Made(NamedTuple):
    """The targets of a SLURM job, and their configuration."""

    targets: frozenset[str]
    """Each as `rule:wildcard=value,…`, as Snakemake writes it."""
    configs: tuple[Path, ...]
    """The files of the configuration; if empty, the default one."""


def made_by(script: str) -> Made:
    """The targets of a batch script; none if Snakemake did not write it."""
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
    """A sentence if jobs of an earlier run make files that this run is to make.

    Args:
        jobs: Snakemake's jobs that are to run.
        study: the name of the study; other studies share only the files of some
            stages.
        workdir: the folder in which it runs.
        default_config: the configuration of commands that name none.
        live: the user's SLURM jobs; by default, ask SLURM.

    Raises:
        commands.NoAnswerError: SLURM does not answer.
    """
    to_run = {_target(job): job for job in jobs}
    in_the_way = []
    for other in commands.live_jobs() if live is None else live:
        if other.folder.resolve() != workdir.resolve():
            continue
        made = made_by(commands.script_of(other.id))
        same = sorted(made.targets & to_run.keys())
        if not _is_of(study, made.configs or (default_config,), workdir):
            # Files that studies do not share lie in folders with their names.
            same = [
                target
                for target in same
                if not all(study in Path(file).parts for file in to_run[target].output)
            ]
        if same:
            in_the_way.append((other.id, _in_short(same)))
    if not in_the_way:
        return []
    named = ", ".join(f"{job} ({makes})" for job, makes in in_the_way)
    return [
        f"jobs of an earlier run are still making the same files: {named}: wait until "
        "squeue no longer lists them, or cancel them: "
        f"scancel {' '.join(job for job, _ in in_the_way)}"
    ]


def _target(job: Any) -> str:
    (target,) = encode_target_jobs_cli_args(job.get_target_spec())
    return _plain(target)


def _words(pattern: re.Pattern[str], text: str) -> list[str]:
    return [
        _plain(word) for matched in pattern.findall(text) for word in matched.split()
    ]


def _plain(word: str) -> str:
    return "".join(char for char in word if char not in _QUOTES)


def _members(script: str) -> list[str]:
    """The commands of the other members of an array."""
    array = _ARRAY.search(script)
    if array is None:
        return []
    packed: Mapping[str, str] = json.loads(base64.b64decode(array[1]))
    return [zlib.decompress(bytes.fromhex(text)).decode() for text in packed.values()]


def _is_of(study: str, configs: Iterable[Path], workdir: Path) -> bool:
    """Whether configuration files are those of a study; true if unreadable."""
    names = set()
    for config in configs:
        try:
            content = yaml.safe_load((workdir / config).read_text(encoding="utf-8"))
            names.add(content["study"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            return True
    return study in names


def _in_short(targets: list[str]) -> str:
    names = [
        target.rstrip(":").replace(":", " ").replace(",", " ") for target in targets
    ]
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return "; ".join(names[:N_NAMED]) + more
