"""Snakemake's graph of jobs, in which notes of origin decide which jobs are due.

Snakemake itself would compare dates, and parameters with those of the last run that it
remembers. It forgets a job that failed, and then takes everything made of its earlier
results for fresh.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import snakemake.workflow
from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.jobs import Reason
from snakemake.logging import logger
from snakemake.workflow import Workflow

from vitproto.core.project import PROJECT
from vitproto.core.unreadable import describe_file_system_error
from vitproto.freshness import origins
from vitproto.freshness.digests import Digests
from vitproto.freshness.raw_files import look_again
from vitproto.freshness.stale_text import describe_absent, in_short, why
from vitproto.freshness.staleness import Due, Verdict, judge
from vitproto.launch.planned_jobs import planned_job
from vitproto.launch.resource_requests import group_sizes
from vitproto.launch.workflow_jobs import jobs_in


def decide_by_origins(
    workflow: Workflow,
    config: Mapping[str, Any],
    by_content: frozenset[str],
    digests: Digests,
) -> None:
    """Let notes of origin decide which jobs of a workflow run.

    Args:
        workflow: Snakemake's, before its graph is built.
        config: the study; its plan sets the size of groups.
        by_content: the rules whose results count by content.
        digests: the digests of files that were read before.
    """

    class StudyDag(_StudyDag):
        pass

    StudyDag.config = config
    StudyDag.by_content, StudyDag.digests = by_content, digests
    snakemake.workflow.DAG = StudyDag


class _StudyDag(DAG):
    config: Mapping[str, Any]
    by_content: frozenset[str]
    digests: Digests
    verdict: Verdict
    jobs_judged: dict[Any, Any]
    """Our job for each of Snakemake's, in the order of `verdict`."""
    reasons_at_first: dict[Any, Sequence[str]]
    """Why each job was due when this run took its notes back."""
    has_told_absent: bool
    """Whether the run has said what is missing here."""
    _are_groups_sized: bool
    _seen_failed: set[Any]
    """Jobs and groups that have failed for good and were dealt with."""
    _blocked: set[Any]
    """Jobs that need a failed one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._are_groups_sized = False
        self._seen_failed = set()
        self._blocked = set()
        self.reasons_at_first = {}
        self.has_told_absent = False

    async def check_incomplete(self) -> None:
        """Do nothing: what a killed job left has no note, so it is due."""

    async def update_needrun(self, create_inventory: bool = False) -> None:
        """Find out which jobs are due, and how many others each has to wait for."""
        if not self.workflow.is_main_process:  # its jobs run whatever their notes say
            await super().update_needrun(create_inventory)
            self._leave_out_what_is_made()
            # If one of several jobs fails, run those that do not need it.
            self.workflow.execution_settings.keep_going = True
            return
        self.judge()
        running = {
            job
            for item in self._running
            for job in _members(item)
            if not self.finished(job)
        }
        due = {
            job: self.verdict.due[i]
            for i, job in enumerate(self.jobs_judged)
            if not self.finished(job)
        }
        for job in running:
            due[job] = Due.YES
        for level in self.toposorted():
            for job in level:
                if job.rule.norun and not self.finished(job):
                    waits_for = map(due.get, self.dependencies[job])
                    any_due = any(is_due not in (None, Due.NO) for is_due in waits_for)
                    due[job] = Due.YES if any_due else Due.NO
        self._needrun = {job for job, is_due in due.items() if is_due != Due.NO}
        # Jobs that failed and are to be tried again are ready although they have run.
        self._ready_jobs &= self._running
        self._n_until_ready.clear()
        failed = self._failed()
        for job in self._needrun - running:
            n_needs = sum(need in self._needrun for need in self.dependencies[job])
            # Jobs that alone need it may turn out to be fresh. A dry run shows it.
            waits = due[job] == Due.WAITS and not self.workflow.dryrun
            self._n_until_ready[job] = n_needs + waits + (job in failed)
        self._len = len(self._finished | self._needrun)

    def _leave_out_what_is_made(self) -> None:
        """Skip members of a group that an earlier try of it has made already.

        The main process took their notes back before the first try. Their origins
        cannot be compared here, where other jobs of the study are not known.
        """
        if len(self._needrun) < 2:
            return
        made = {job for job in self._needrun if _is_noted(job)}
        self._needrun -= made
        self._n_until_ready.clear()
        for job in self._needrun:
            needs = self.dependencies[job]
            self._n_until_ready[job] = sum(need in self._needrun for need in needs)

    def update_groups(self) -> None:
        """Put jobs into groups, and each job that needs a failed one into its own.

        Groups that have been submitted stay as they are.
        """
        self._size_groups()
        submitted = {
            job: group
            for group in self._running
            if group.is_group()
            for job in group.jobs
        }
        needrun = self._needrun
        self._needrun = needrun - submitted.keys() - self._blocked
        self.group_job_factory.cache.clear()  # it remembers groups as they became
        super().update_groups()
        self._needrun = needrun
        self._group.update(submitted)
        for job in self._blocked:
            if job.group is not None:
                self._group[job] = self._group_of(job)
                self._group[job].finalize()

    def _size_groups(self) -> None:
        """Give groups the plan's size, unless a profile says one.

        Processes that the main one starts are given these sizes.
        """
        if self._are_groups_sized or not self.workflow.is_main_process:
            return
        self._are_groups_sized = True
        grouped = [job for job in self.jobs if job.group]
        settings = self.workflow.group_settings
        sizes = group_sizes(
            map(planned_job, grouped),
            {job.rule.name: job.group for job in grouped},
            self.config,
        )
        settings.group_components = {**sizes, **settings.group_components}

    def _group_of(self, job: Any) -> Any:
        resources = self.workflow.global_resources
        return self.group_job_factory.new(job.group, [job], resources)

    def _update_group_components(self) -> None:
        """Join groups that do not wait for one another: neighbours, always the same."""
        sizes = self.workflow.group_settings.group_components
        by_name: dict[str, list[Any]] = {}
        for group in {*self._group.values()}:
            by_name.setdefault(group.groupid, []).append(group)
        for name, groups in by_name.items():
            groups.sort(key=lambda group: min(map(_by_outputs, group.jobs)))
            size = sizes.get(name, 1)
            for i in range(0, len(groups), size):
                first, *others = groups[i : i + size]
                for other in others:
                    first.merge(other)
                self._group.update(dict.fromkeys(first.jobs, first))
        for group in {*self._group.values()}:
            group.finalize()

    @property
    def ready_jobs(self) -> set[Any]:
        """Jobs and groups that can start; a failure stops only jobs that need it."""
        failed = self._failed() - self._seen_failed
        if failed:
            self._seen_failed |= failed
            self._go_on_without(failed)
        return self._ready_jobs

    def _failed(self) -> set[Any]:
        """Jobs and groups that have failed for good."""
        return {*self.workflow.scheduler.failed} if self.workflow.scheduler else set()

    def _go_on_without(self, failed: Iterable[Any]) -> None:
        """Let groups start without jobs that need a failed one.

        Jobs that succeeded in a failed group count as finished.
        """
        members = [job for item in failed for job in _members(item)]
        made = {job for job in members if _is_noted(job)}
        self._finished |= made
        for job in made:
            for other in self.depending[job]:
                if self.needrun(other):
                    self._n_until_ready[other] -= 1
        for job in members:
            if job not in made:
                self._blocked |= {*self.bfs(self.depending, job)} - {job}
        self._ready_jobs &= self._running
        self.update_groups()
        self.update_ready()

    def judge(self) -> None:
        """Compare the notes of all results, and decide which jobs are due."""
        self.jobs_judged = jobs_in(self, self.by_content)
        try:
            self.verdict = judge([*self.jobs_judged.values()], PROJECT, self.digests)
        except OSError as error:
            # A permission, a lost server, a lock: no bug of ours, so no traceback.
            text = describe_file_system_error(error)
            if text is None:
                raise
            raise WorkflowError(text) from error
        self.digests.save()
        for i, job in enumerate(self.jobs_judged):
            reasons = self.reasons_at_first.get(job, self.verdict.reasons[i])
            self._reason[job] = _Why(self.verdict.due[i], reasons)
        if self.verdict.absent and not self.has_told_absent:
            logger.warning(describe_absent(self.verdict))
            self.has_told_absent = True

    async def finish(self, job: Any, *others: Any, **options: Any) -> Any:
        """Mark a job as finished. If its results count by content, judge again."""
        result = await super().finish(job, *others, **options)
        makes_small = any(j.rule.name in self.by_content for j in _members(job))
        if makes_small and self.workflow.is_main_process and not self.workflow.dryrun:
            self._wait_for_notes(_members(job))
            look_again()
            await self.postprocess_after_update()
            self.take_back_notes()
            return True
        return result

    def take_back_notes(self) -> None:
        """Delete the notes of results that are to be made again.

        So these stay due until they have been made, whatever becomes of this run.
        """
        running = {job for item in self._running for job in _members(item)}
        for i, job in enumerate(self.jobs_judged):
            is_due = self.verdict.due[i] in (Due.YES, Due.WAITS)
            if is_due and job not in running and not self.finished(job):
                self.reasons_at_first.setdefault(job, self.verdict.reasons[i])
                origins.take_back(map(Path, job.output))

    def _wait_for_notes(self, jobs: Iterable[Any]) -> None:
        """Wait until a network disk shows the notes of jobs that ran elsewhere."""
        end = time.monotonic() + self.workflow.execution_settings.latency_wait
        for output in (Path(file) for job in jobs for file in job.output):
            while origins.read(output) is None and time.monotonic() < end:
                time.sleep(0.1)

    def still_due(self) -> list[str]:
        """The names of jobs that are due although the run has ended well."""
        self._wait_for_notes(self._finished)
        self.forcerules, self.forcefiles = set(), set()  # what was forced has run
        look_again()
        self.judge()
        jobs = [*self.jobs_judged.values()]
        return [jobs[i].name for i, due in self.verdict.due.items() if due != Due.NO]


class _Why(Reason):
    """Snakemake's reason why a job runs, in our words."""

    __slots__ = ("_due", "_sentences")

    def __init__(self, due: Due, sentences: Sequence[str]) -> None:
        super().__init__()
        self._due, self._sentences = due, sentences

    def get_names(self) -> Iterable[str]:
        if self._due != Due.NO:
            yield why(self._due)

    def __str__(self) -> str:
        said = in_short(self._sentences)
        return f"Finished (was: {said})" if self.finished else said

    def __bool__(self) -> bool:
        return self._due != Due.NO and not self.finished


def _is_noted(job: Any) -> bool:
    outputs = [Path(file) for file in job.output]
    return all(file.exists() and origins.read(file) is not None for file in outputs)


def _by_outputs(job: Any) -> list[str]:
    return [str(file) for file in job.output]


def _members(job: Any) -> Sequence[Any]:
    return [*job.jobs] if job.is_group() else [job]
