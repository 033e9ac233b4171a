"""Check before the first job whether SLURM would accept all jobs of a study."""

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

from vitproto.slurm.commands import (
    NoAnswerError,
    Partition,
    ask,
    defaults_of_user,
    minutes_of_qos,
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
"""Keys that the plugin ignores, and its names for them."""

# Words of SLURM's messages, and the key that each is about. The first match counts.
_ABOUT = {
    "qos policy": "qos",  # "job submit limit, user's size and/or time limits"
    "time limit": "runtime",
    "qos": "qos",
    "feature": "constraint",
    "constraint": "constraint",
    "gpu_model": "gpu_model",
    "gres": "gpu",
    "memory": "mem_mb",
    "account": "slurm_account",
    "partition": "slurm_partition",
}
# Temporary: a node that is down or in use may be free when the job's turn comes.
_PASSES = re.compile(
    r"down(,| or) drained|partition configuration not available now|nodes are busy",
    re.I,
)


class Request(NamedTuple):
    """The resources that jobs of some rules ask SLURM for."""

    rule: str
    """The rule, or `fit_pca and fit_random` if several ask for the same."""
    partition: str | None
    """A name, or several with commas; without one, SLURM's default."""
    account: str | None
    """A name, or several with commas; without one, that of the last job is used."""
    settings: tuple[tuple[str, str], ...]
    """Time, memory, GPUs, cores and so on, by key of a profile."""
    command: str
    """The command that would submit it, without the script."""


def requests_of(items: Iterable[Any], retries: int) -> list[Request]:
    """The distinct requests of jobs at all their tries.

    Args:
        items: jobs and groups of Snakemake that have not started.
        retries: how often failed jobs are tried again.
    """
    rules_by_request: dict[tuple, set[str]] = {}
    for item in _at_each_try(items, retries):
        resources = item.resources
        if is_elsewhere(item):
            continue
        members = item.jobs if item.is_group() else [item]
        partition = resources.get("slurm_partition")
        account = resources.get("slurm_account")
        keys = dict.fromkeys([*_ABOUT.values(), *IGNORED_KEYS])
        settings = {key: str(resources[key]) for key in keys if resources.get(key)}
        settings["threads"] = str(item.threads)
        params = {
            **{"run_uuid": "test", "slurm_logfile": "/dev/null", "comment_str": "test"},
            **{"workdir": None, "partition": "", "account": ""},
        }
        command = get_submit_command(item, params) + set_gres_string(item)
        request = (partition, account, tuple(sorted(settings.items())), command)
        rules = rules_by_request.setdefault(request, set())
        rules.update(job.rule.name for job in members)
    requests = [
        Request(" and ".join(sorted(rules)), *request)
        for request, rules in rules_by_request.items()
    ]
    return sorted(requests, key=str)


def is_elsewhere(item: Any) -> bool:
    """Whether a job goes to another cluster, which cannot be queried here."""
    keys = ("cluster", "clusters", "slurm_cluster")
    return any(item.resources.get(key) for key in keys)


def _at_each_try(items: Iterable[Any], retries: int) -> Iterator[Any]:
    """Each job as it would be at each try: a profile may depend on the attempt."""
    for item in items:
        for attempt in range(1, retries + 2):
            item.attempt = attempt
            yield item
        item.attempt = 1


def refusals(requests: Sequence[Request], profiles: Path) -> list[str]:
    """One sentence for each reason why jobs cannot be submitted.

    Args:
        requests: the requests of jobs.
        profiles: the folder of profiles, to name the line to change.

    Raises:
        NoAnswerError: SLURM does not answer.
    """
    reported: set[tuple[str, str]] = set()
    rules_by_text: dict[str, set[str]] = {}
    for request in sorted(requests, key=lambda r: int(_setting(r, "runtime") or 0)):
        refusal = _ignored(request, profiles) or _refusal(request, profiles)
        rules = request.rule.split(" and ")
        # A later try only asks for more of the same.
        if refusal and not reported.issuperset((refusal.about, rule) for rule in rules):
            reported |= {(refusal.about, rule) for rule in rules}
            rules_by_text.setdefault(refusal.text, set()).update(rules)
    return [
        text.replace(_RULES, _listed(rules)) for text, rules in rules_by_text.items()
    ]


class _Refusal(NamedTuple):
    """The reason why SLURM would not accept a job."""

    about: str
    """The key of the profile to change, or SLURM's message."""
    text: str
    """A sentence with `_RULES` in place of the names of all affected rules."""


_RULES = "{rules}"


def _listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last


def _setting(request: Request, key: str) -> str | None:
    return dict(request.settings).get(key)


def without_accounts(status_command: str | None, profiles: Path) -> list[str]:
    """A sentence if a run could not find out when a job ends.

    Args:
        status_command: the program that reports the states of jobs.
        profiles: the folder of profiles, to name the line to change.
    """
    if status_command != "sacct":
        return []
    try:
        ask("sacct", "--noheader", "--allocations", "--starttime=now-1minutes")
    except NoAnswerError as error:
        return [
            f"sacct does not answer ({error}), so Snakemake could not tell when a job "
            "ends: if this cluster has no job accounting, write slurm-status-command: "
            f"squeue in {_shown(profiles / 'slurm/config.yaml', profiles)}"
        ]
    return []


def warnings(requests: Sequence[Request]) -> list[str]:
    """Conditions that will make accepted jobs wait, one sentence each.

    Raises:
        NoAnswerError: SLURM does not answer.
    """
    known = partitions()
    names = {name for r in requests for name in _names(r.partition) or defaults(known)}
    sentences = []
    for name in sorted(names & known.keys()):
        asking = [r.rule for r in requests if name in _names(r.partition)]
        rules = sorted({rule for both in asking for rule in both.split(" and ")})
        jobs = f"jobs of {', '.join(rules)}" if rules else "jobs"
        if known[name].state == "DOWN":
            sentences.append(
                f"the partition {name} is down: {jobs} wait until it is up"
            )
        elif not nodes_that_work(name):
            sentences.append(
                f"all nodes of the partition {name} are down or drained: {jobs} wait "
                "until one works"
            )
    return sentences


def defaults(known: Mapping[str, Partition]) -> list[str]:
    """The partitions of jobs that name none."""
    return [name for name, partition in known.items() if partition.is_default]


def most_minutes(partition: str | None, qos: str | None) -> int | None:
    """The longest time that a job may ask for; None if there is no limit.

    Args:
        partition: the partition that it asks for, several with commas, or none.
        qos: the quality of service.
    """
    of_qos, qos = minutes_of_qos(), qos or defaults_of_user().qos
    limits = []
    for each in _partitions(partition):
        # In SLURM the partition's own QOS takes precedence over that of the job.
        both = [each.max_minutes, of_qos.get(each.qos, of_qos.get(qos))]
        limits.append(min((n for n in both if n is not None), default=None))
    return None if None in limits else max(limits, default=None)


def most_memory_mb(partition: str | None) -> int | None:
    """The most memory that a job may ask for; None if there is no limit."""
    limits = [each.max_memory_mb for each in _partitions(partition)]
    return None if None in limits else max(limits, default=None)


def _partitions(names: str | None) -> list[Partition]:
    """The partitions in which a job may run."""
    known = partitions()
    return [known[n] for n in _names(names) or defaults(known) if n in known]


def _ignored(request: Request, profiles: Path) -> _Refusal | None:
    """Report a key that the plugin ignores."""
    for key, value in request.settings:
        if key in IGNORED_KEYS:
            where = _where(profiles, key, value)
            text = f"{where} has no effect: the key is {IGNORED_KEYS[key]}"
            return _Refusal(key, text)
    return None


def _refusal(request: Request, profiles: Path) -> _Refusal | None:
    """The reason why SLURM would refuse or never start a job; None if it would run."""
    known = partitions()
    for name in _names(request.partition):
        if name not in known:
            return _Refusal(
                "slurm_partition",
                f"this cluster has no partition {name}, only {', '.join(known)}: "
                f"change {_where(profiles, 'slurm_partition', request.partition)}",
            )
    account = next(iter(_names(request.account)), None) or _guessed_account()
    return (
        _too_much(request, profiles)
        or _not_accepted(request, account or defaults_of_user().account, profiles)
        or _refused(request, account, profiles)
    )


def _too_much(request: Request, profiles: Path) -> _Refusal | None:
    """Report a job that asks for more time or memory than is allowed.

    Most clusters accept such a job, and never start it.
    """
    names = " or ".join(each.name for each in _partitions(request.partition))
    qos = _setting(request, "qos") or defaults_of_user().qos
    limits = (
        ("runtime", "minutes", most_minutes(request.partition, qos)),
        ("mem_mb", "MB of memory", most_memory_mb(request.partition)),
    )
    for key, unit, most in limits:
        asked = _setting(request, key)
        if asked is None or most is None or int(asked) <= most:
            continue
        rules = request.rule.split(" and ")
        where = _where(profiles, key, asked, rules)
        allows = f"the partition {names} allows {most}"
        of_qos = minutes_of_qos().get(qos) if key == "runtime" else None
        of_partitions = [each.max_minutes for each in _partitions(request.partition)]
        if most == of_qos and of_qos not in of_partitions:
            allows = f"the QOS {qos} allows {most}"
            where += f", or {_where(profiles, 'qos', qos)}"
        text = f"jobs of {_RULES} ask for {asked} {unit}, but {allows}: change {where}"
        return _Refusal(key, text)
    return None


def _not_accepted(
    request: Request, account: str | None, profiles: Path
) -> _Refusal | None:
    """Report a job whose partitions do not accept its account or quality of service.

    Many clusters accept such a job, and never start it.
    """
    candidates = _partitions(request.partition)
    qos = _setting(request, "qos") or defaults_of_user().qos
    for kind, name in (("account", account), ("qos", qos)):
        if not name or not candidates:
            continue
        if not any(each.takes(kind, name) for each in candidates):
            key = "slurm_account" if kind == "account" else kind
            names = " or ".join(each.name for each in candidates)
            where = _where(profiles, key, name)
            return _Refusal(
                key,
                f"the partition {names} accepts no jobs of the {kind} {name}: change "
                f"{where}, or {_where(profiles, 'slurm_partition', request.partition)}",
            )
    return None


def _refused(request: Request, account: str | None, profiles: Path) -> _Refusal | None:
    """Report a job that SLURM would refuse when it is submitted."""
    message = _why_not(request, account)
    for name in _names(request.account):
        message = _why_invalid(name) or message
    if message is None:
        return None
    settings = dict(request.settings)
    rules = request.rule.split(" and ")
    here = f" in the partition {request.partition}" if request.partition else ""
    key = next((k for word, k in _ABOUT.items() if word in message.lower()), None)
    jobs, value = f"jobs of {_RULES}{here}", None
    if key == "slurm_account":
        jobs, value = f"jobs of the account {request.account}{here}", request.account
        if not request.account:
            jobs = f"jobs without an account{here}"
    elif key == "slurm_partition":
        jobs, value = f"jobs{here}", request.partition
    elif key in settings:
        value = settings[key]
        jobs += f" with {key} {value}"
    else:
        asked = "; ".join(_asked(key, settings[key], profiles) for key in settings)
        text = f"SLURM rejects {jobs} ({message}), which ask for: {asked}"
        return _Refusal(message, text)
    where = _where(profiles, key, value, rules)
    return _Refusal(key, f"SLURM rejects {jobs} ({message}): change {where}")


def _asked(key: str, value: str, profiles: Path) -> str:
    """`gpu_model h100 (profiles/slurm/config.yaml, line 57)`."""
    where = _where(profiles, key, value)
    line = where.removeprefix(f"{key} in ")
    return f"{key} {value}" + (f" ({line})" if line != where else "")


def _names(several: str | None) -> list[str]:
    return [name for name in re.split(r"[,\s]+", str(several or "")) if name]


def _why_not(request: Request, account: str | None) -> str | None:
    """SLURM's objection to a request, without submitting a job."""
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
    """The plugin's objection to an account."""
    try:
        validate_account(account, logging.getLogger(__name__))
    except (WorkflowError, OSError) as error:
        return " ".join(str(error).split())
    return None


def _guessed_account() -> str | None:
    """The account that the plugin uses if none is named."""
    silent = logging.Logger("silent", logging.CRITICAL)
    try:
        return get_account(silent) or None
    except OSError:
        return None


def _where(
    profiles: Path, key: str, value: str | None, rules: Sequence[str] = ()
) -> str:
    """`slurm_partition in profiles/slurm/config.yaml, lines 33, 41`.

    If no line has the value, name the lines that set the key for the rules in another
    form, such as `480 * attempt`.
    """
    setting = re.compile(
        rf"^[^#]*\b{key}:[\s'\"]*(&\w+\s+)?{re.escape(str(value))}(?![\w-])"
    )
    files = sorted(profiles.glob("*/*.yaml")) if value else []
    lines_by_file = {file: _lines_with(setting, file) for file in files}
    if not any(lines_by_file.values()):
        lines_by_file = {file: _lines_of_rules(file, key, rules) for file in files}
    for file, lines in lines_by_file.items():
        if lines:
            word = "line" if len(lines) == 1 else "lines"
            numbers = ", ".join(map(str, lines))
            return f"{key} in {_shown(file, profiles)}, {word} {numbers}"
    # Every rule asks for its own time and memory, so their defaults have no effect.
    also = "" if key in ("runtime", "mem_mb") else "default-resources and "
    return f"{key} under {also}set-resources of your profile"


def _lines_with(setting: re.Pattern[str], file: Path) -> list[int]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [i for i, line in enumerate(lines, start=1) if setting.match(line)]


def _lines_of_rules(file: Path, key: str, rules: Sequence[str]) -> list[int]:
    """The lines where a profile sets a key for rules, also through a YAML alias."""
    lines = set()
    for name, of_rules in _entries(yaml.compose(file.read_text(encoding="utf-8"))):
        if name == "set-resources":
            for rule, settings in _entries(of_rules):
                keys = (key, key.removesuffix("_mb"))  # `mem: 30G`
                values = [value for k, value in _entries(settings) if k in keys]
                if rule in rules:
                    lines |= {value.start_mark.line + 1 for value in values}
    return sorted(lines)


def _entries(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """The entries of a YAML mapping; none for other nodes."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(str(key.value), value) for key, value in node.value]


def _shown(file: Path, profiles: Path) -> str:
    return str(file.relative_to(profiles.parent))
