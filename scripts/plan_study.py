"""Say what a study will cost, and which of its jobs are due."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.core.project import PROJECT
from vitproto.freshness.stale_text import describe_due
from vitproto.freshness.staleness import Due
from vitproto.launch.cli import run
from vitproto.launch.dry_run import dry_run
from vitproto.launch.resource_requests import group_sizes
from vitproto.planning.disk import Need, describe_needs
from vitproto.planning.jobs import Job, study_jobs
from vitproto.planning.plan import by_stage, written_by, wrong_counts
from vitproto.planning.plan_text import write_plan, write_submissions, write_total
from vitproto.planning.submissions import groups_of, submissions
from vitproto.study.read_study import read_study


def plan_study(config: Positional[Path]) -> None:
    """Say what a study will cost: jobs, GPU hours, bytes and memory of each stage.

    The table is of the whole study, whatever is there already. Below it stands which
    jobs are due, the same that a dry run shows, what these cost, and how many jobs and
    waits that is on SLURM with `profiles/slurm`.

    Args:
        config: the study, such as config/config.yaml.
    """
    study = read_study(config)
    jobs = study_jobs(study)
    print(write_plan(by_stage(jobs, study), study["throughput"]["measured_on"]))
    needs = Need.of(written_by(jobs, study), study["storage"], "results")
    print(describe_needs(needs))
    found, verdict, local = dry_run(config, PROJECT)
    print(f"\n{describe_due(found, verdict)}")
    places = [i for i, due in verdict.due.items() if due != Due.NO]
    due_jobs = [Job(found[i].rule, dict(found[i].wildcards)) for i in places]
    if due_jobs:
        print(f"Together: {write_total(by_stage(due_jobs, study))}.")
        groups = groups_of(PROJECT / "profiles/slurm/config.yaml")
        sizes = group_sizes(study, groups)
        print(write_submissions(submissions(found, places, local, groups, sizes)))
    for sentence in wrong_counts(study, Path("results/data")):
        print(sentence)


if __name__ == "__main__":
    run(plan_study)
