"""Estimate the cost of a study, and list the jobs that are due."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.core.project import PROJECT
from vitproto.freshness.stale_text import describe_due
from vitproto.freshness.staleness import Due
from vitproto.launch.cli import run
from vitproto.launch.dry_run import dry_run
from vitproto.launch.resource_requests import group_sizes
from vitproto.planning.disk import Need, describe_needs
from vitproto.planning.image_counts import wrong_counts
from vitproto.planning.plan import by_stage, written_by
from vitproto.planning.plan_text import write_plan, write_submissions, write_total
from vitproto.planning.submissions import groups_of, submissions
from vitproto.study.read_study import read_study


def plan_study(config: Positional[Path]) -> None:
    """Estimate the cost of a study: jobs, time, disk and memory of each stage.

    The table covers the whole study, including existing results. Below it are the jobs
    that are due, which are those of a dry run, their cost, and the number of jobs and
    waits on SLURM with `profiles/slurm`.

    Args:
        config: The study, such as config/config.yaml.
    """
    study = read_study(config)
    jobs, verdict, planned = dry_run(config, PROJECT)
    print(write_plan(by_stage(planned, study), study["throughput"]["measured_on"]))
    needs = Need.of(written_by(planned, study), study["storage"], "results")
    print(describe_needs(needs))
    print(f"\n{describe_due(jobs, verdict)}")
    places = [i for i, due in verdict.due.items() if due != Due.NO]
    if places:
        due_costs = by_stage([planned[i] for i in places], study)
        print(f"Together: {write_total(due_costs)}.")
        groups = groups_of(PROJECT / "profiles/slurm/config.yaml")
        sizes = group_sizes(planned, groups, study)
        needs_of_jobs = [job.needs.keys() for job in jobs]
        print(
            write_submissions(
                submissions(planned, needs_of_jobs, places, groups, sizes)
            )
        )
    for sentence in wrong_counts(study, Path("results/data")):
        print(sentence)


if __name__ == "__main__":
    run(plan_study)
