"""Convert Snakemake's jobs to ours, and make them write notes of origin."""

import inspect
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.workflow import Workflow

from vitproto.core.project import PROJECT
from vitproto.freshness import origins
from vitproto.freshness.damage import find_damage
from vitproto.freshness.digests import Digests
from vitproto.freshness.image_contents import with_recorded
from vitproto.freshness.raw_files import RawFiles, look_again
from vitproto.freshness.staleness import (
    Job,
    content_of,
    images_of,
    origin_of_job,
)
from vitproto.launch.cli import EXPECTED_CODE
from vitproto.launch.killed import log_end, log_signal

READS = "reads"
"""The parameter of a rule that lists what its jobs read besides their inputs."""

NEXT_LINE = " \\\n            "
"""The separator of flags in a parameter: a command shows one flag a line."""


def jobs_in(dag: Any, by_content: frozenset[str]) -> dict[Any, Job]:
    """The jobs of Snakemake's graph as ours, each after those that it needs.

    Args:
        dag: Snakemake's graph.
        by_content: the rules whose results count by content.
    """
    levels = [sorted(level, key=_by_outputs) for level in dag.toposorted()]
    ordered = [job for level in levels for job in level]
    # Rules without a command, such as `all`, pass on their inputs as targets.
    gather = [job for job in ordered if job.rule.norun]
    wanted = {*dag.targetjobs}
    for job in reversed(gather):
        if job in wanted:
            wanted |= {*dag.dependencies[job]}
    ordered = [job for job in ordered if not job.rule.norun]
    places = {job: i for i, job in enumerate(ordered)}
    return {
        job: _job(job, dag, places, job.rule.name in by_content, job in wanted)
        for job in ordered
    }


def _job(
    job: Any, dag: Any, places: Mapping[Any, int], by_content: bool, is_wanted: bool
) -> Job:
    needs = {
        places[maker]: tuple(sorted(Path(file) for file in files))
        for maker, files in dag.dependencies[job].items()
    }
    made = {file for files in needs.values() for file in files}
    is_forced = (
        job not in dag.omitforce and job.rule in dag.forcerules
    ) or not dag.forcefiles.isdisjoint(job.output)
    return Job(
        rule=job.rule.name,
        room=Path(job.rule.snakefile).stem.partition("_")[0],
        wildcards=dict(job.wildcards.items()),
        command=job.rule.shellcmd,
        settings={
            **settings_of(job.rule, job.params),
            **parts_of(job.input, lambda file: file in made),
        },
        files=tuple(Path(file) for file in job.input if Path(file) not in made),
        raw=raw_files_of(job.rule, job.params),
        outputs=tuple(map(Path, job.output)),
        needs=needs,
        by_content=by_content,
        is_wanted=is_wanted,
        is_forced=is_forced,
    )


def settings_of(rule: Any, params: Any) -> dict[str, Any]:
    """The parameters of a job that can change its results.

    Parameters whose functions take `threads` are left out: they say where and how a job
    runs. Flags are joined to one line, since their layout changes no result.
    """
    settings = [name for name, item in rule.params.items() if not _is_how(item)]
    values = {name: params.get(name) for name in settings if name != READS}
    return {
        name: value.replace(NEXT_LINE, " ") if isinstance(value, str) else value
        for name, value in values.items()
    }


def parts_of(inputs: Any, is_made: Callable[[Path], bool]) -> dict[str, str]:
    """The names of the files behind each named input: `input.chart`.

    Numbers in file names, such as those of shards, are left out.

    Args:
        inputs: the inputs of a job.
        is_made: whether another job makes a file; only such files are listed.
    """
    parts = {}
    for part, files in inputs.items():
        paths = map(Path, [files] if isinstance(files, str) else files)
        names = [re.sub(r"\d+", "#", path.name) for path in paths if is_made(path)]
        if names:
            parts[f"input.{part}"] = " ".join(dict.fromkeys(names))
    return parts


def raw_files_of(rule: Any, params: Any) -> tuple[RawFiles, ...] | None:
    """The files that a job reads besides its inputs; None without `reads`."""
    names = [name for name, _ in rule.params.items()]  # noqa: PERF102 (Snakemake's)
    return tuple(params.get(READS)) if READS in names else None


def note_origins(
    workflow: Workflow, by_content: frozenset[str], digests: Digests
) -> None:
    """Make every job write a note of origin beside its results.

    This happens in the process that runs the job's command, on a cluster too. The note
    is composed before the command starts, and written once it has succeeded, if code
    and files are still the same.

    Args:
        workflow: Snakemake's workflow.
        by_content: the rules whose results count by content.
        digests: known digests of files.
    """
    for rule in workflow.rules:
        if not rule.norun:
            rule.run_func = _noting_origin(rule, rule.name in by_content, digests)


def _noting_origin(rule: Any, by_content: bool, digests: Digests) -> Any:
    """A function that runs a rule's command, and then writes notes of origin."""
    run_command = rule.run_func

    def run_and_note(
        input: Any,
        output: Any,
        params: Any,
        wildcards: Any,
        threads: Any,
        resources: Any,
        log: Any,
        *others: Any,
    ) -> None:
        inputs, results = ([*map(Path, files)] for files in (input, output))
        notes = {file: origins.read(file) for file in inputs}
        makers = rule.workflow.rules
        made = {
            file
            for file, noted in notes.items()
            if noted or any(maker.is_producer(str(file)) for maker in makers)
        }
        job = Job(
            rule=rule.name,
            room="",
            wildcards=dict(wildcards.items()),
            command=rule.shellcmd,
            settings={
                **settings_of(rule, params),
                **parts_of(input, made.__contains__),
            },
            files=tuple(file for file in inputs if file not in made),
            raw=raw_files_of(rule, params),
            outputs=tuple(results),
            needs={},
            by_content=by_content,
            is_wanted=True,
            is_forced=False,
        )
        if damage := [*find_damage(notes)]:
            log_end(log, "".join(f"{rule.name}: {text}\n" for text in damage))
            # Snakemake shows other errors with a traceback.
            raise WorkflowError("\n".join(damage))
        made_of = {file: noted and noted.origin for file, noted in notes.items()}
        look_again()
        with digests.watched() as changed:
            origin = origin_of_job(job, made_of, PROJECT, digests)
            origins.take_back(results)
            os.environ[EXPECTED_CODE + rule.name] = origin.fingerprint
            try:
                run_command(
                    input, output, params, wildcards, threads, resources, log, *others
                )
            except subprocess.CalledProcessError as error:
                log_signal(rule.name, error, log)
                raise
        look_again()
        if changed or origin_of_job(job, made_of, PROJECT, digests) != origin:
            what = ", ".join(map(str, changed)) or "code or files"
            logger.warning(
                f"{job.name}: {what} changed while it ran, so it is still due"
            )
            return
        origin, looks = with_recorded(images_of(job), results[0], origin)
        contents = {file: content_of(file, digests) for file in results}
        origins.note(origin, contents, looks)

    return run_and_note


def _by_outputs(job: Any) -> tuple[str, ...]:
    return (job.rule.name, *job.output)


def _is_how(parameter: Any) -> bool:
    return callable(parameter) and "threads" in inspect.signature(parameter).parameters
