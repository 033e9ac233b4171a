"""Decide which jobs of a study are due, by comparing origin notes with today.

One function decides for a run, a dry run, `make stale` and `make plan`. Snakemake's
records and the dates of files play no part. A result is fresh if the note beside it
matches the code, settings and files of its own job and of every job above it, as they
are today. So whatever happens to a run, the next one finds all that is left to do.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.freshness import image_contents, origins
from vitproto.freshness.code.code_graph import digest_of_code
from vitproto.freshness.code.fingerprint import reached
from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import (
    ABSENT,
    GONE,
    UNKNOWN,
    Note,
    Origin,
    content_name,
)
from vitproto.freshness.raw_files import Absent, Images, RawFiles

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""Numbers of the errors where no file is in the place of one."""

MANIFEST = "checkpoints.json"
"""Lists checkpoints, which studies share and which are thus no outputs of a job."""

READ_WHOLE_BYTES = 2**26
"""Results up to this size are compared by content, larger ones by size."""


@dataclass(frozen=True)
class Job:
    """A job of a study."""

    rule: str
    room: str
    """The name of the file that holds the rule: `traits`."""
    wildcards: Mapping[str, str]
    command: str
    """The rule's command with its placeholders."""
    settings: Mapping[str, Any]
    """The parameters that can change results."""
    files: tuple[Path, ...]
    """The inputs that no job makes."""
    raw: tuple[RawFiles, ...] | None
    """Files that it reads besides its inputs; None for rules without `reads`."""
    outputs: tuple[Path, ...]
    needs: Mapping[int, tuple[Path, ...]]
    """The inputs that other jobs make, by the job's place in the list of jobs."""
    by_content: bool
    """Whether results made from its own depend on their content."""
    is_wanted: bool
    """Whether the run asks for its results."""
    is_forced: bool
    """Whether the user forces it."""

    @property
    def name(self) -> str:
        return origins.name_of(self.rule, self.wildcards)


class Due(Enum):
    """Whether a job is to run."""

    NO = "no"
    YES = "yes"
    PERHAPS = "perhaps"
    """Only if a small input changes when it is made again."""
    WAITS = "waits"
    """Only if a job that is perhaps due, and alone needs it, is due."""


@dataclass
class Verdict:
    """The state of each job of a study, by its place in the list of jobs."""

    due: dict[int, Due] = field(default_factory=dict)
    reasons: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Why a job is due, one sentence each."""
    changed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Results that their own job would make differently today, and why."""
    above: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Results made from something that changed, and what changed."""
    perhaps: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Results that are stale only if these inputs change."""
    unknown: dict[int, str] = field(default_factory=dict)
    """Results without a valid origin note, and why."""
    missing: set[int] = field(default_factory=set)
    """Results that do not exist."""
    absent: tuple[str, ...] = ()
    """Data and weights that are not here and were not compared."""


def judge(jobs: Sequence[Job], project: Path, digests: Digests) -> Verdict:
    """Decide which jobs are due, and why.

    Args:
        jobs: all jobs of a study, each after those that it needs.
        project: the folder that holds `scripts/` and the package.
        digests: known digests of files.
    """
    code = {rule: _Code.read(rule, project) for rule in {job.rule for job in jobs}}
    states = [_State.look(job, digests) for job in jobs]
    images = [images_of(job) for job in jobs]
    image_contents.remember(_notes_of_shards(jobs, images), digests)
    own = [_own_origin(job, code[job.rule], digests) for job in jobs]
    noted = [state.origin for state in states]
    today = image_contents.look_into(own, images, noted, digests)
    # Jobs whose results count by content, and are due. Without such a result it is not
    # known whether results made from it are fresh, so it is made if its sources are
    # here.
    remade = {
        i
        for i, state in enumerate(states)
        if jobs[i].by_content
        and (state.missing or state.doubt)
        and _has_sources(i, jobs, today[i])
    }
    raw = [each for job in jobs for each in job.raw or ()]
    absent = sorted({each.what for each in raw if isinstance(each, Absent)})
    while True:
        verdict = _compare(jobs, today, states, remade)
        verdict.absent = tuple(absent)
        _decide(jobs, verdict, remade)
        due = {i for i, answer in verdict.due.items() if answer != Due.NO}
        by_content = {i for i in due if jobs[i].by_content}
        if by_content <= remade:
            return verdict
        remade |= by_content


def images_of(job: Job) -> list[Images]:
    """The images that a job records."""
    return [each for each in job.raw or () if isinstance(each, Images)]


def _notes_of_shards(
    jobs: Sequence[Job], images: Sequence[Sequence[Images]]
) -> Iterator[Note]:
    """The notes of all shards, including those of deleted shards."""
    for job, recorded in zip(jobs, images, strict=True):
        if recorded:
            yield from filter(None, map(origins.read, job.outputs))


def _has_sources(i: int, jobs: Sequence[Job], today: Origin) -> bool:
    """Whether the data for a small result are here; they may lie on another machine."""
    is_drawn = any(not jobs[need].by_content for need in jobs[i].needs)
    known = [d for d in today.files.values() if d not in (ABSENT, GONE)]
    return jobs[i].raw is None or bool(known) or is_drawn


@dataclass(frozen=True)
class _State:
    """The results of a job as they are on disk."""

    missing: tuple[Path, ...]
    origin: Origin | None
    """The origin in their notes."""
    doubt: str
    """Why their notes are not valid; empty if they are."""
    contents: Mapping[str, str]
    """The content of each result that counts by content."""

    @classmethod
    def look(cls, job: Job, digests: Digests) -> "_State":
        missing = tuple(output for output in job.outputs if not _is_whole(output))
        existing = [output for output in job.outputs if output not in missing]
        notes = [origins.read(output) for output in existing]
        contents = {output: content_of(output, digests) for output in existing}
        counted = {content_name(o): c for o, c in contents.items() if job.by_content}
        known = [note for note in notes if note is not None]
        if not known:
            return cls(missing, None, "it has no origin note", counted)
        doubt = ""
        if len(known) < len(notes):
            doubt = "some of its files have no origin note"
        elif any(note.origin != known[0].origin for note in known):
            doubt = "its files were made by different jobs"
        for output, note in zip(existing, notes, strict=True):
            if note is not None and note.content != contents[output]:
                doubt = f"{output} changed after it was made"
        return cls(missing, known[0].origin, doubt, counted)


def _is_whole(result: Path) -> bool:
    """Whether a result exists, and if it is a manifest, the checkpoints in it."""
    if result.name != MANIFEST:
        return result.exists()
    try:
        runs = json.loads(result.read_text(encoding="utf-8"))["runs"]
        return all(Path(run["path"]).is_file() for run in runs)
    except OSError as error:
        # Nothing, a folder or a link to itself in its place; others are not its fault.
        if error.errno in _NO_FILE:
            return False
        raise
    except (ValueError, KeyError, TypeError):  # damaged; its note does not match
        return True


def content_of(result: Path, digests: Digests) -> str:
    """The digest of a result, or the size of a large file."""
    try:
        size = result.stat().st_size
        if result.is_dir():
            return _content_of_folder(result, digests)
        return digests.of(result) if size <= READ_WHOLE_BYTES else f"{size} bytes"
    except FileNotFoundError:  # deleted meanwhile by a run
        return "nothing"


def _content_of_folder(folder: Path, digests: Digests) -> str:
    """A digest of the names and contents of all files in a folder but hidden ones."""
    names = {
        os.path.join(os.path.relpath(at, folder), name)
        for at, _, names in os.walk(folder)
        for name in names
    }
    text = hashlib.sha256()
    for name in sorted(names):
        if not any(part.startswith(".") and part != "." for part in Path(name).parts):
            text.update(os.fsencode(f"{name}\0{digests.of(folder / name)}\n"))
    return text.hexdigest()


def origin_of_job(
    job: Job, inputs: Mapping[Path, Origin | None], project: Path, digests: Digests
) -> Origin:
    """The origin of the results of a job that starts now.

    Args:
        job: the job; its `needs` are not used.
        inputs: the origin of each input that another job made.
        project: the folder that holds `scripts/` and the package.
        digests: known digests of files.
    """
    noted = {file: origin for file, origin in inputs.items() if origin is not None}
    contents = {
        content_name(file): digests.of(file)
        for file, origin in noted.items()
        if origin.by_content
    }
    by_origin = [origin for origin in noted.values() if not origin.by_content]
    jobs_above, files_above = origins.above(by_origin, contents)
    own = _own_origin(job, _Code.read(job.rule, project), digests)
    files = {name: d for name, d in own.files.items() if d != ABSENT}
    return replace(own, files=files, jobs_above=jobs_above, files_above=files_above)


class _Code(NamedTuple):
    """The code that a stage can reach."""

    reached: Mapping[str, str]
    fingerprint: str

    @classmethod
    def read(cls, rule: str, project: Path) -> "_Code":
        code = reached(rule, project)
        return cls(code, digest_of_code(code))


def _own_origin(job: Job, code: _Code, digests: Digests) -> Origin:
    """The origin of a job today, without what its inputs were made from."""
    files: dict[str, str] = {}
    for file in filter(Path.is_file, job.files):
        # The order of two files of the same name can make a difference.
        before = files.get(file.name)
        files[file.name] = " ".join(filter(None, [before, digests.of(file)]))
    for raw in job.raw or ():
        files |= raw.digests(digests)
    return Origin(
        rule=job.rule,
        wildcards=origins.whole_data(job.wildcards),
        command=job.command,
        settings=job.settings,
        code=code.reached,
        fingerprint=code.fingerprint,
        files=files,
        jobs_above={},
        files_above={},
        by_content=job.by_content,
    )


def _compare(
    jobs: Sequence[Job],
    own: Sequence[Origin],
    states: Sequence[_State],
    remade: set[int],
) -> Verdict:
    """Compare each result with what would be made today."""
    verdict = Verdict()
    today: list[Origin] = []
    for i, job in enumerate(jobs):
        contents: dict[str, str] = {}
        by_origin = []
        for need, files in job.needs.items():
            if not jobs[need].by_content:
                by_origin.append(today[need])
                continue
            for name in map(content_name, files):
                if need in remade:
                    contents[name] = UNKNOWN
                else:
                    contents[name] = states[need].contents.get(name, ABSENT)
        jobs_above, files_above = origins.above(by_origin, contents)
        now = replace(own[i], jobs_above=jobs_above, files_above=files_above)
        today.append(now)
        state = states[i]
        if len(state.missing) == len(job.outputs):
            verdict.missing.add(i)
        elif state.origin is None:
            verdict.unknown[i] = state.doubt
        elif changes := origins.differences(state.origin, now):
            verdict.changed[i] = tuple(changes)
        elif changes := origins.differences_above(state.origin, now):
            verdict.above[i] = tuple(changes)
        elif state.doubt:
            verdict.unknown[i] = state.doubt
        elif state.missing:
            verdict.missing.add(i)
        elif names := origins.unknown_above(now):
            verdict.perhaps[i] = tuple(names)
    return verdict


def _decide(jobs: Sequence[Job], verdict: Verdict, remade: set[int]) -> None:
    """Fill in which jobs are due, starting from the results that the run asks for."""
    forced = _forced(jobs)
    wanted = {i: Due.YES for i, job in enumerate(jobs) if job.is_wanted}
    for i in reversed(range(len(jobs))):
        # These decide whether others are due, so they are due even if nothing needs
        # them yet.
        asked = Due.YES if i in remade else wanted.get(i, Due.NO)
        stale = verdict.changed.get(i) or verdict.above.get(i)
        due, reasons = Due.NO, ()
        if i in forced:
            due, reasons = Due.YES, ("forced",)
        elif stale and (asked != Due.NO or jobs[i].by_content):
            due, reasons = Due.YES, stale
        elif i in verdict.perhaps and asked != Due.NO:
            names = " or ".join(verdict.perhaps[i])
            due, reasons = Due.PERHAPS, (f"only if {names} changes",)
        elif i in verdict.unknown:
            due, reasons = asked, (verdict.unknown[i],)
        elif i in verdict.missing:
            due, reasons = asked, ("it is missing",)
        verdict.due[i], verdict.reasons[i] = due, reasons
        if due == Due.NO:
            continue
        for need in jobs[i].needs:
            if wanted.get(need) != Due.YES:
                wanted[need] = Due.YES if due == Due.YES else Due.WAITS


def _forced(jobs: Sequence[Job]) -> set[int]:
    """Forced jobs and those that use their results, except results by content."""
    forced: set[int] = set()
    for i, job in enumerate(jobs):
        passed_on = [need for need in job.needs if not jobs[need].by_content]
        if job.is_forced or not forced.isdisjoint(passed_on):
            forced.add(i)
    return forced
