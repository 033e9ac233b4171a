"""The jobs of a study, as Snakemake sees them, without running any."""

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.rules import Rule
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)
from snakemake.workflow import Workflow

from vitproto.study import origins
from vitproto.study.fingerprint import reached
from vitproto.study.origins import Origin


@dataclass(frozen=True)
class Job:
    """A job of a study."""

    rule: str
    room: str
    """The name of the file that holds the rule: `traits`."""
    wildcards: Mapping[str, str]
    command: str
    """The rule's command, before anything is filled in."""
    settings: Mapping[str, Any]
    """The parameters that Snakemake compares, but for the code."""
    files: tuple[Path, ...]
    """The inputs that no job makes."""
    outputs: tuple[Path, ...]
    needs: tuple[int, ...]
    """The jobs that make its other inputs, by their places in the list of jobs."""
    is_due: bool
    """Would Snakemake run it now?"""

    @property
    def name(self) -> str:
        return origins.name_of(self.rule, self.wildcards)


def jobs_of(
    config: Path, project: Path, targets: Sequence[str] = (), force: Sequence[str] = ()
) -> list[Job]:
    """The jobs of a study, each after those that it needs.

    Args:
        config: the study, such as config/config.yaml.
        project: the folder that holds the Snakefile.
        targets: the files to make; of all, if there are none.
        force: rules and files to make again, for `is_due`.
    """
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(),
            config_settings=ConfigSettings(configfiles=[config]),
            snakefile=project / "Snakefile",
        )
        dag_api = workflow.dag(DAGSettings(targets=set(targets), forcerun=set(force)))
        with contextlib.redirect_stdout(None):
            dag_api.printdag()  # what builds the graph
        dag = workflow._workflow.dag
        levels = [sorted(level, key=_by_outputs) for level in dag.toposorted()]
        ordered = [job for level in levels for job in level if not job.rule.norun]
        places = {job: i for i, job in enumerate(ordered)}
        made_by = {
            job: {file: maker for maker, files in needs.items() for file in files}
            for job, needs in dag.dependencies.items()
        }
        return [
            Job(
                rule=job.rule.name,
                room=Path(job.rule.snakefile).stem.partition("_")[0],
                wildcards=dict(job.wildcards.items()),
                command=job.rule.shellcmd,
                settings=settings_of(job.rule, job.params),
                files=tuple(
                    Path(file) for file in job.input if file not in made_by[job]
                ),
                outputs=tuple(map(Path, job.output)),
                needs=tuple(sorted({places[maker] for maker in made_by[job].values()})),
                is_due=dag.needrun(job),
            )
            for job in ordered
        ]


def settings_of(rule: Rule, params: Any) -> dict[str, Any]:
    """The parameters of a job that Snakemake compares, but for the code.

    Those whose functions ask for `threads` say where and how a job runs.
    """
    compared = [name for name, item in rule.params.items() if not _is_how(item)]
    return {name: params.get(name) for name in compared if name != "code"}


def note_origins(workflow: Workflow) -> None:
    """Let every job note beside its outputs where they come from.

    This happens in the process that runs the job's command, on a cluster too: what is
    noted is looked up before the command starts, and written once it has succeeded.
    """
    for rule in workflow.rules:
        if not rule.norun:
            rule.run_func = _noting_origin(rule)


def _noting_origin(rule: Rule) -> Any:
    """What runs a rule's command, and then notes the origin of its outputs."""
    run_command = rule.run_func

    def run_and_note(
        input: Any, output: Any, params: Any, wildcards: Any, *others: Any
    ) -> None:
        inputs, results = (
            [Path(file) for file in input],
            [Path(file) for file in output],
        )
        makers = rule.workflow.rules
        found = {file: origins.read(file) for file in inputs}
        origin = Origin(
            rule=rule.name,
            wildcards=origins.whole_data(dict(wildcards.items())),
            command=rule.shellcmd,
            settings=settings_of(rule, params),
            inputs=origins.combine(
                (known.name, known.digest()) for known in found.values() if known
            ),
            files={
                file.name: origins.digest_of(file)
                for file, known in found.items()
                if not known
                and not any(maker.is_producer(str(file)) for maker in makers)
            },
            code=reached(rule.name),
        )
        origins.forget(results)
        run_command(input, output, params, wildcards, *others)
        origins.note(origin, results)

    return run_and_note


def _by_outputs(job: Any) -> tuple[str, ...]:
    return (job.rule.name, *job.output)


def _is_how(parameter: Any) -> bool:
    return callable(parameter) and "threads" in inspect.signature(parameter).parameters
