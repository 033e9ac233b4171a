"""Where results come from: kept in a small file beside each of them."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from vitproto.files import whole_file
from vitproto.study.code_graph import changes_of_code

FOLDER = ".origins"

# Which part of a data set a job worked on. Nothing that is made of all parts depends
# on how they were cut, so their origins must not either.
_PARTS = {"i_shard", "n_shards"}


@dataclass(frozen=True)
class Origin:
    """What decided what a job wrote. Nothing here depends on the machine."""

    rule: str
    """Which rule it followed."""
    wildcards: Mapping[str, str]
    """For what: encoder, layer, method."""
    command: str
    """The rule's command, before anything is filled in."""
    settings: Mapping[str, Any]
    """The parameters that Snakemake compares, but for the code."""
    inputs: Mapping[str, str]
    """The digest of the origin of each input, by the name of that origin."""
    files: Mapping[str, str]
    """The digest of each input that the workflow does not make, by its name."""
    code: Mapping[str, str]
    """The digest of each definition that the stage can reach."""

    @property
    def name(self) -> str:
        return name_of(self.rule, self.wildcards)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    def digest(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def name_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """What made a result, and for what: `fit_pca encoder=clip layer=3 method=pca`."""
    parts = [f"{k}={v}" for k, v in sorted(wildcards.items()) if k not in _PARTS]
    return " ".join([rule, *parts])


def whole_data(wildcards: Mapping[str, str]) -> dict[str, str]:
    """The wildcards without those that say which part of a data set is meant."""
    return {key: value for key, value in wildcards.items() if key not in _PARTS}


def note(origin: Origin, results: Iterable[Path]) -> None:
    """Write beside each result where it comes from."""
    for result in results:
        with whole_file(_noted_at(result)) as partial:
            partial.write_text(origin.to_json(), encoding="utf-8")


def forget(results: Iterable[Path]) -> None:
    """Drop what is noted about results that are about to be made again."""
    for result in results:
        _noted_at(result).unlink(missing_ok=True)


def read(result: Path) -> Origin | None:
    """Where does a result come from? None if nothing is noted beside it."""
    path = _noted_at(result)
    if not path.is_file():
        return None
    try:
        return Origin(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise ValueError(
            f"{path} is damaged, or of another version of vitproto: delete it, and the "
            "result beside it counts as one of unknown origin"
        ) from None


def combine(origins: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The digests of origins by name; the shards of a data set count as one."""
    found: dict[str, set[str]] = {}
    for name, digest in origins:
        found.setdefault(name, set()).add(digest)
    return {name: " ".join(sorted(digests)) for name, digests in found.items()}


def digest_of(file: Path) -> str:
    """The SHA-256 of a file that the workflow does not make."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def differences(then: Origin, now: Origin) -> list[str]:
    """What is different today, one sentence each; nothing if a result is fresh.

    Inputs that are not there today cannot be compared, and are left out of `now`.
    """
    changes = changes_of_code(then.code, now.code)
    if then.command != now.command:
        changes.append(f"its command: {_changed_words(then.command, now.command)}")
    for key in sorted({*then.settings, *now.settings}):
        old, new = then.settings.get(key), now.settings.get(key)
        if old != new:
            changes += _setting_changes(key, old, new)
    for name in sorted({*then.inputs, *now.inputs}):
        if name not in now.inputs:
            changes.append(f"it was also made of {name}")
        elif name not in then.inputs:
            changes.append(f"it was not made of {name}")
        elif then.inputs[name] != now.inputs[name]:
            changes.append(f"it was made of an earlier {name}")
    for name in sorted({*then.files} & {*now.files}):
        if then.files[name] != now.files[name]:
            changes.append(f"the file {name} changed")
    return changes


def _noted_at(result: Path) -> Path:
    return result.parent / FOLDER / f"{result.name}.json"


def _setting_changes(key: str, old: Any, new: Any) -> Iterator[str]:
    """Name the flags that changed, where a parameter holds several."""
    flags_then, flags_now = _flags(old), _flags(new)
    if flags_then is None or flags_now is None:
        yield f"{key}: {_in_words(old)} → {_in_words(new)}"
        return
    for flag in sorted({*flags_then, *flags_now}):
        if flags_then.get(flag) != flags_now.get(flag):
            values = [_in_words(found.get(flag)) for found in (flags_then, flags_now)]
            yield f"{flag}: {' → '.join(values)}"


def _flags(setting: Any) -> dict[str, list[str]] | None:
    """`--n_iters 5 --tol 0.1` taken apart; None for what is no such text."""
    if not isinstance(setting, str) or not setting.startswith("--"):
        return None
    flags: dict[str, list[str]] = {}
    for word in shlex.split(setting):
        if word.startswith("--"):
            flag = word.removeprefix("--")
            flags[flag] = []
        else:
            flags[flag].append(word)
    return flags


def _in_words(value: Any) -> str:
    if value is None:
        return "nothing"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _changed_words(old: str, new: str) -> str:
    """The part of two texts in which they differ, in whole words."""
    words_then, words_now = old.split(), new.split()
    n_before = _n_alike(words_then, words_now)
    rest_then, rest_now = words_then[n_before:], words_now[n_before:]
    n_after = _n_alike(rest_then[::-1], rest_now[::-1])
    parts = [rest[: len(rest) - n_after] for rest in (rest_then, rest_now)]
    return " → ".join(" ".join(part) or "nothing" for part in parts)


def _n_alike(some: Sequence[str], others: Sequence[str]) -> int:
    """With how many equal words do both begin?"""
    pairs = zip(some, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
