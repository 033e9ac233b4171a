"""Will SLURM take a study's jobs? Asked before the first one is submitted."""

import logging
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from snakemake_executor_plugin_slurm.accounts import get_account, validate_account
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_interface_common.exceptions import WorkflowError

from vitproto.study.slurm import (
    NoAnswerError,
    Partition,
    ask,
    nodes_that_work,
    partitions,
)

IGNORED_KEYS = {
    "slurm_qos": "qos",
    "slurm_constraint": "constraint",
    "partition": "slurm_partition",
    "account": "slurm_account",
    "gpus": "gpu",
    "time": "runtime",
    "walltime": "runtime",
    "memory": "mem_mb",
}
"""Keys that the plugin does not know, and what it calls them."""

# What SLURM says, and which key it is about. The first that is found counts.
_ABOUT = {
    "time limit": "runtime",
    "qos": "qos",
    "feature": "constraint",
    "constraint": "constraint",
    "gres": "gpu",
    "memory": "mem_mb",
    "account": "slurm_account",
    "partition": "slurm_partition",
}
# These pass: a node that is down, or taken by others, may be free when it is its turn.
_PASSES = re.compile(
    r"down(,| or) drained|partition configuration not available now|nodes are busy",
    re.I,
)


class Request(NamedTuple):
    """What a job asks SLURM for."""

    rule: str
    """Whose jobs ask so, or `fit_pca and fit_random` if several do."""
    partition: str | None
    """A name, or several with commas; SLURM has a default."""
    account: str | None
    """The same; without one, the account of the last job is guessed."""
    settings: tuple[tuple[str, str], ...]
    """What the profile says of it, by key: time, memory, GPUs and the like."""
    command: str
    """With which it would be submitted, but for what it runs."""


def requests_of(items: Iterable[Any], retries: int) -> list[Request]:
    """What jobs ask for at each try, a kind once.

    Args:
        items: jobs and groups of Snakemake, of which none has begun.
        retries: how often they are tried again.
    """
    others = ("cluster", "clusters", "slurm_cluster")
    found: dict[tuple, set[str]] = {}
    for item in _at_each_try(items, retries):
        resources = item.resources
        # What another cluster has cannot be asked here.
        if any(resources.get(key) for key in others):
            continue
        members = item.jobs if item.is_group() else [item]
        partition = resources.get("slurm_partition")
        account = resources.get("slurm_account")
        keys = (*_ABOUT.values(), *IGNORED_KEYS)
        settings = {key: str(resources[key]) for key in keys if resources.get(key)}
        params = {
            **{"run_uuid": "test", "slurm_logfile": "/dev/null", "comment_str": "test"},
            **{"workdir": None, "partition": "", "account": ""},
        }
        command = get_submit_command(item, params) + set_gres_string(item)
        about = (partition, account, tuple(sorted(settings.items())), command)
        found.setdefault(about, set()).update(job.rule.name for job in members)
    requests = [
        Request(" and ".join(sorted(rules)), *about) for about, rules in found.items()
    ]
    return sorted(requests, key=str)


def _at_each_try(items: Iterable[Any], retries: int) -> Iterator[Any]:
    """Jobs as they would be at each try; a profile may let them ask for more then."""
    for item in items:
        for attempt in range(1, retries + 2):
            item.attempt = attempt
            yield item
        item.attempt = 1


def refusals(requests: Sequence[Request], profiles: Path) -> list[str]:
    """One sentence for each reason why jobs cannot be submitted.

    Args:
        requests: what jobs ask for.
        profiles: the folder of profiles, to say which line to change.

    Raises:
        NoAnswerError: SLURM does not say.
    """
    said = (_ignored(r, profiles) or _refusal(r, profiles) for r in requests)
    return [*dict.fromkeys(filter(None, said))]


def without_accounts(status_command: str | None, profiles: Path) -> list[str]:
    """Why would a run never hear that a job has ended?

    Args:
        status_command: the program that is asked for the states of jobs.
        profiles: the folder of profiles, to say which line to change.
    """
    if status_command != "sacct":
        return []
    try:
        ask("sacct", "--noheader", "--allocations", "--starttime=now-1minutes")
    except NoAnswerError as error:
        return [
            f"this cluster keeps no accounts of jobs ({error}), so nobody would hear "
            "that a job has ended: write slurm-status-command: squeue in "
            f"{_shown(profiles / 'slurm/config.yaml', profiles)}"
        ]
    return []


def warnings(requests: Sequence[Request]) -> list[str]:
    """What will make jobs wait although SLURM takes them; a sentence each.

    Raises:
        NoAnswerError: SLURM does not say.
    """
    known = partitions()
    names = {name for r in requests for name in _names(r.partition) or defaults(known)}
    found = []
    for name in sorted(names & known.keys()):
        asking = [r.rule for r in requests if name in _names(r.partition)]
        rules = sorted({rule for both in asking for rule in both.split(" and ")})
        jobs = f"jobs of {', '.join(rules)}" if rules else "jobs"
        if known[name].state == "DOWN":
            found.append(f"the partition {name} is down: {jobs} wait until it is up")
        elif not nodes_that_work(name):
            found.append(
                f"all nodes of the partition {name} are down or drained: {jobs} wait "
                "until one works"
            )
    return found


def defaults(known: Mapping[str, Partition]) -> list[str]:
    """The partitions that take jobs which name none."""
    return [name for name, partition in known.items() if partition.is_default]


def _ignored(request: Request, profiles: Path) -> str | None:
    """A key that would do nothing."""
    for key, value in request.settings:
        if key in IGNORED_KEYS:
            where = _where(profiles, key, value)
            return f"{where} does nothing: the key is {IGNORED_KEYS[key]}"
    return None


def _refusal(request: Request, profiles: Path) -> str | None:
    """Why SLURM would not take a job, or never start it; nothing if it would."""
    known = partitions()
    for name in _names(request.partition):
        if name not in known:
            return (
                f"this cluster has no partition {name}, but {', '.join(known)}: "
                f"change {_where(profiles, 'slurm_partition', request.partition)}"
            )
    settings = dict(request.settings)
    rules = request.rule.split(" and ")
    if said := _too_long(request, settings.get("runtime")):
        where = _where(profiles, "runtime", settings["runtime"], rules)
        return f"{said}: change {where}"
    account = next(iter(_names(request.account)), None) or _guessed_account()
    said = _why_not(request, account)
    for name in _names(request.account):
        said = _why_invalid(name) or said
    if said is None:
        return None
    here = f" in the partition {request.partition}" if request.partition else ""
    key = next((k for word, k in _ABOUT.items() if word in said.lower()), None)
    takes = f"SLURM takes no job of {request.rule}{here}"
    if key == "slurm_account":
        takes = f"SLURM takes no job of the account {request.account}{here}"
        if not request.account:
            takes = f"SLURM takes no job without an account{here}"
        return f"{takes} ({said}): change {_where(profiles, key, request.account)}"
    if key == "slurm_partition":
        takes = f"SLURM takes no job{here}"
        return f"{takes} ({said}): change {_where(profiles, key, request.partition)}"
    if key in settings:
        where = _where(profiles, key, settings[key], rules)
        return f"{takes} with {key} {settings[key]} ({said}): change {where}"
    asked = ", ".join(f"{key} {value}" for key, value in request.settings)
    return f"{takes} ({said}); it asks for {asked}"


def _too_long(request: Request, minutes: str | None) -> str | None:
    """Does a job ask for more time than any of its partitions allows?

    SLURM takes such a job on most clusters, and never starts it.
    """
    known = partitions()
    names = _names(request.partition) or defaults(known)
    limits = [known[name].max_minutes for name in names]
    if not minutes or not limits or None in limits or int(minutes) <= max(limits):
        return None
    return (
        f"jobs of {request.rule} ask for {minutes} minutes, but the partition "
        f"{' or '.join(names)} allows {max(limits)}"
    )


def _names(several: str | None) -> list[str]:
    return [name for name in re.split(r"[,\s]+", str(several or "")) if name]


def _why_not(request: Request, account: str | None) -> str | None:
    """What SLURM says against a request, without submitting a job."""
    command = shlex.split(request.command)
    if request.partition:
        command.append(f"--partition={request.partition}")
    if account:
        command.append(f"--account={account}")
    try:
        ask(*command, "--test-only", "--wrap=true")
    except NoAnswerError as error:
        return None if _PASSES.search(str(error)) else str(error)
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


def _where(
    profiles: Path, key: str, value: str | None, rules: Sequence[str] = ()
) -> str:
    """`slurm_partition in profiles/slurm/config.yaml, lines 33, 41`.

    Where no line gives the value, those that give the key to the rules, in whatever
    words: `480 * attempt`.
    """
    setting = re.compile(
        rf"^[^#]*\b{key}:[\s'\"]*(&\w+\s+)?{re.escape(str(value))}(?![\w-])"
    )
    files = sorted(profiles.glob("*/*.yaml")) if value else []
    found = {file: _lines_with(setting, file) for file in files}
    if not any(found.values()):
        found = {file: _lines_of_rules(file, key, rules) for file in files}
    for file, lines in found.items():
        if lines:
            word = "line" if len(lines) == 1 else "lines"
            numbers = ", ".join(map(str, lines))
            return f"{key} in {_shown(file, profiles)}, {word} {numbers}"
    # Every rule asks for its own time and memory, so defaults of these do nothing.
    also = "" if key in ("runtime", "mem_mb") else "default-resources and "
    return f"{key} under {also}set-resources of your profile"


def _lines_with(setting: re.Pattern[str], file: Path) -> list[int]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [i for i, line in enumerate(lines, start=1) if setting.match(line)]


def _lines_of_rules(file: Path, key: str, rules: Sequence[str]) -> list[int]:
    """Where a profile of Snakemake gives a key to rules, also by an alias."""
    lines = set()
    for name, of_rules in _entries(yaml.compose(file.read_text(encoding="utf-8"))):
        if name == "set-resources":
            for rule, settings in _entries(of_rules):
                given = [value for k, value in _entries(settings) if k == key]
                if rule in rules:
                    lines |= {value.start_mark.line + 1 for value in given}
    return sorted(lines)


def _entries(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """Of YAML's mappings what they hold; of all else nothing."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(str(key.value), value) for key, value in node.value]


def _shown(file: Path, profiles: Path) -> str:
    return str(file.relative_to(profiles.parent))
