"""Origin notes: small files beside results that record how they were made.

A note is written once a job has succeeded, and deleted before its result is to be made
again, so a job that fails leaves none.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.core.files import whole_file
from vitproto.freshness.code.code_graph import changes_of_code

FOLDER = ".origins"

FORMAT = 4
"""Notes of other formats are ignored."""

UNKNOWN = "unknown"
"""Placeholder for a digest that is known only after a due job has run."""

ABSENT = "absent"
"""Placeholder for the digest of a file of a data set or encoder that is not here."""

GONE = "gone"
"""Placeholder for the digest of a file that is missing from a data set that is here."""

ANY = "*"
"""Placeholder for the names of all files of a data set or encoder that is not here."""

# The part of a data set on which a job worked, and where its results lie. Results made
# from all parts do not depend on the number of parts, so their origins must not either.
_PARTS = {"i_shard", "n_shards", "address"}

# A digest of a set of images: those of two parts add up to that of the whole. It has
# one sum over sizes, and one over contents.
_SUM = "sum:"
_SUM_BITS = 256
_IMAGE_SUM = re.compile(r"sum:[0-9a-f]{64}:[0-9a-f]{64}")


@dataclass(frozen=True)
class Origin:
    """All that determined what a job wrote. Nothing here depends on the machine."""

    rule: str
    """The rule of the job."""
    wildcards: Mapping[str, str]
    """The wildcards of the job: encoder, layer, method."""
    command: str
    """The rule's command with its placeholders."""
    settings: Mapping[str, Any]
    """The parameters that can change results."""
    code: Mapping[str, str]
    """The digest of each definition that the stage can reach, by place."""
    fingerprint: str
    """One digest of `code` that does not depend on places."""
    files: Mapping[str, str]
    """The digest of each input that the workflow does not make, by file name."""
    jobs_above: Mapping[str, str]
    """The `digest` of each job that made its inputs, directly or indirectly."""
    files_above: Mapping[str, str]
    """Digests of the files that these jobs read, by name and job, and of small inputs
    that count by content."""
    by_content: bool
    """Whether results made from it depend on its content, not on how it was made."""

    @property
    def name(self) -> str:
        return name_of(self.rule, self.wildcards)

    def digest(self) -> str:
        """A digest of the job's own command, settings and code."""
        own = [self.command, self.settings, self.fingerprint]
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


class Above(NamedTuple):
    """The jobs and files from which a job's inputs were made, with digests."""

    jobs: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class Note:
    """The origin note of a result."""

    origin: Origin
    content: str
    """The content of the result when it was written: see `content_of`."""
    looks: Mapping[str, str]
    """Digests of path, size and date of the images among its origin's files, by the
    same name."""


def name_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """The name of a job: `fit_pca encoder=clip layer=3 method=pca`."""
    parts = [f"{k}={v}" for k, v in sorted(wildcards.items()) if k not in _PARTS]
    return " ".join([rule, *parts])


def whole_data(wildcards: Mapping[str, str]) -> dict[str, str]:
    """The wildcards without those for parts of a data set and for folders."""
    return {key: value for key, value in wildcards.items() if key not in _PARTS}


def content_name(file: Path) -> str:
    """The name under which the content of a small input is recorded."""
    return f"the content of {file}"


def above(inputs: Iterable[Origin], contents: Mapping[str, str]) -> Above:
    """The jobs and files from which a job's inputs were made.

    Args:
        inputs: their origins; the parts of a data set count as one.
        contents: the digest of each input that counts by content, by `content_name`.
    """
    parts: dict[str, list[Origin]] = {}
    for origin in inputs:
        parts.setdefault(origin.name, []).append(origin)
    jobs, files = [], [contents]
    for name, origins in parts.items():
        jobs += [{**part.jobs_above, name: part.digest()} for part in origins]
        files += [part.files_above for part in origins]
        own = _add_up([part.files for part in origins])
        # Two encoders may have weights of the same name.
        files.append({read_by(name, file): digest for file, digest in own.items()})
    return Above(_join(jobs), _join(files))


def read_by(job: str, file: str) -> str:
    """The name of a file that a job read, in the origins of later results."""
    return f"{file} ({job})"


def image_sum(images: Iterable[tuple[bytes, bytes]]) -> str:
    """The digest of a set of images.

    Args:
        images: two digests of 32 bytes for each image: of its size and its content.
    """
    sizes, contents = 0, 0
    for size, content in images:
        sizes += int.from_bytes(size)
        contents += int.from_bytes(content)
    return _sum(sizes, contents)


def is_image_sum(text: Any) -> bool:
    """Whether this is a result of `image_sum`, and not from a damaged file."""
    return isinstance(text, str) and _IMAGE_SUM.fullmatch(text) is not None


def add_images(parts: Iterable[str], without: Iterable[str] = ()) -> str:
    """The digest of a set of images from the digests of its parts.

    Args:
        parts: the digests of parts to add.
        without: the digests of parts to subtract.
    """
    sums = [
        (sign * int(sizes, 16), sign * int(contents, 16))
        for sign, digests in ((1, parts), (-1, without))
        for _, sizes, contents in (digest.split(":") for digest in digests)
    ]
    sizes, contents = zip(*sums, strict=True) if sums else ((), ())
    return _sum(sum(sizes), sum(contents))


def have_same_sizes(images: str, others: str) -> bool:
    """Whether two sets of images have the same paths and sizes.

    Args:
        images: the digest of a set.
        others: the digest of another set, or a placeholder.
    """
    return images.rpartition(":")[0] == others.rpartition(":")[0]


def _add_up(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The files that the parts of a data set read together, however it was split."""
    files = _join(parts)
    for name in files:
        digests = [part[name] for part in parts if name in part]
        if all(digest.startswith(_SUM) for digest in digests):
            files[name] = add_images(digests)
    return files


def _sum(sizes: int, contents: int) -> str:
    numbers = [f"{number % 2**_SUM_BITS:064x}" for number in (sizes, contents)]
    return _SUM + ":".join(numbers)


def _join(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    by_name: dict[str, set[str]] = {}
    for each in several:
        for name, digest in each.items():
            by_name.setdefault(name, set()).add(digest)
    return {
        name: next((d for d in (UNKNOWN, ABSENT) if d in digests), None)
        or " ".join(sorted(digests))
        for name, digests in sorted(by_name.items())
    }


def note(
    origin: Origin, contents: Mapping[Path, str], looks: Mapping[str, str]
) -> None:
    """Write an origin note beside each result of a job.

    Args:
        origin: the origin of all these results.
        contents: each result's `content_of`.
        looks: see `Note`.
    """
    for result, content in contents.items():
        with whole_file(_noted_at(result)) as partial:
            about = {"format": FORMAT, "content": content, "looks": {**looks}}
            text = {**about, **asdict(origin)}
            partial.write_text(
                json.dumps(text, indent=1, sort_keys=True), encoding="utf-8"
            )


def take_back(results: Iterable[Path]) -> None:
    """Delete the notes of results that are to be made again."""
    for result in results:
        _noted_at(result).unlink(missing_ok=True)


def read(result: Path) -> Note | None:
    """The origin note of a result; None if there is none that this version can read."""
    try:
        text = json.loads(_noted_at(result).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except ValueError:  # damaged
        return None
    if not isinstance(text, dict) or text.pop("format", None) != FORMAT:
        return None
    if text.keys() != {"content", "looks", *(field.name for field in fields(Origin))}:
        return None
    maps = ("wildcards", "settings", "code", "files", "jobs_above", "files_above")
    if not all(isinstance(text[name], dict) for name in (*maps, "looks")):
        return None
    content, looks = text.pop("content"), text.pop("looks")
    return Note(Origin(**text), content, looks)


def differences(then: Origin, now: Origin) -> list[str]:
    """The differences between a job then and today, one sentence each.

    Files of data sets and encoders that are not here are not compared.
    """
    same_code = then.fingerprint == now.fingerprint
    changes = [] if same_code else changes_of_code(then.code, now.code)
    if then.command != now.command:
        changes.append(f"its command: {_changed_words(then.command, now.command)}")
    for key in sorted({*then.settings, *now.settings}):
        old, new = then.settings.get(key), now.settings.get(key)
        if old != new:
            changes += _setting_changes(key, old, new)
    return changes + _file_changes(then.files, now.files)


def differences_above(then: Origin, now: Origin) -> list[str]:
    """The differences in how a job's inputs are made, one sentence each.

    Digests that are known only after a due job has run (`UNKNOWN`) are not compared.
    """
    changes = []
    for name in sorted({*then.jobs_above, *now.jobs_above}):
        if name not in now.jobs_above:
            changes.append(f"it was also made from {name}")
        elif name not in then.jobs_above:
            changes.append(f"it was not made from {name}")
        elif then.jobs_above[name] != now.jobs_above[name]:
            changes.append(earlier(name))
    return changes + _file_changes(then.files_above, now.files_above)


def earlier(name: str) -> str:
    """The sentence for a result whose input was made by an earlier version of a job."""
    return f"it was made from an earlier {name}"


def unknown_above(now: Origin) -> list[str]:
    """The names of inputs whose content is known only after a due job has run."""
    return sorted(name for name, d in now.files_above.items() if d == UNKNOWN)


def seen_below(change: str, job: str) -> str:
    """The sentence about a file that a job reads, as it reads for later results."""
    if change.startswith(_NOT_READ):
        return _NOT_READ + read_by(job, change.removeprefix(_NOT_READ))
    for ending in (_CHANGED, _IS_GONE, _NO_LONGER_READ):
        if change.endswith(ending):
            return read_by(job, change.removesuffix(ending)) + ending
    return change


_NOT_READ = "it did not read "
_CHANGED, _IS_GONE, _NO_LONGER_READ = " changed", " is gone", " is no longer read"


def _file_changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    changes = []
    for name, digest in sorted(now.items()):
        is_unknown = digest == UNKNOWN or name.startswith(ANY)
        # A file that is not here may be unchanged if the result was made from it.
        is_absent = digest == ABSENT and name in then
        if is_unknown or is_absent or digest == then.get(name, GONE):
            continue
        changed = _IS_GONE if digest == GONE else _CHANGED
        changes.append(name + changed if name in then else _NOT_READ + name)
    # The files of an absent data set or encoder that a job would read are not known.
    absent = tuple(name.removeprefix(ANY) for name in now if name.startswith(ANY))
    gone = [name for name in then.keys() - now.keys() if not name.endswith(absent)]
    return changes + [name + _NO_LONGER_READ for name in sorted(gone)]


def _noted_at(result: Path) -> Path:
    return result.parent / FOLDER / f"{result.name}.json"


def _setting_changes(key: str, old: Any, new: Any) -> Iterator[str]:
    """The change of a parameter, flag by flag if it holds flags."""
    flags_then, flags_now = _flags(old), _flags(new)
    if flags_then is None or flags_now is None:
        yield f"{key}: {_in_words(old)} → {_in_words(new)}"
        return
    for flag in sorted({*flags_then, *flags_now}):
        if flags_then.get(flag) != flags_now.get(flag):
            values = [_in_words(flags.get(flag)) for flags in (flags_then, flags_now)]
            yield f"{flag}: {' → '.join(values)}"


def _flags(setting: Any) -> dict[str, list[str]] | None:
    """Parse `--n_iters 5 --tol 0.1`; None for anything else."""
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
    """The words in which two texts differ."""
    words_then, words_now = old.split(), new.split()
    n_before = _n_alike(words_then, words_now)
    rest_then, rest_now = words_then[n_before:], words_now[n_before:]
    n_after = _n_alike(rest_then[::-1], rest_now[::-1])
    parts = [rest[: len(rest) - n_after] for rest in (rest_then, rest_now)]
    return " → ".join(" ".join(part) or "nothing" for part in parts)


def _n_alike(some: Sequence[str], others: Sequence[str]) -> int:
    """The number of equal words at the start of both."""
    pairs = zip(some, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
