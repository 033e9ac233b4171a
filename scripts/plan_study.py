"""Say what a study will cost, from its configuration alone."""

from pathlib import Path

import yaml
from tyro.conf import Positional

from vitproto.cli import PROJECT, run
from vitproto.report.plan_text import write_plan
from vitproto.study.config import check
from vitproto.study.disk import Need, describe_needs
from vitproto.study.jobs import study_jobs
from vitproto.study.plan import by_stage, written_by, wrong_counts


def plan_study(config: Positional[Path]) -> None:
    """Say what a study will cost: jobs, GPU hours, bytes and memory of each stage.

    Nothing is read but the configuration, and lists of images to compare it with.
    Results that are there already do not count: it is the cost of the whole study.

    Args:
        config: the study, such as config/config.yaml.
    """
    study = yaml.safe_load(config.read_text())
    check(study, PROJECT / "workflow/schemas/config.schema.yaml", [config])
    jobs = study_jobs(study)
    print(write_plan(by_stage(jobs, study), study["throughput"]["measured_on"]))
    needs = Need.of(written_by(jobs, study), study["storage"], "results")
    print(describe_needs(needs))
    for sentence in wrong_counts(study, Path("results/data")):
        print(sentence)


if __name__ == "__main__":
    run(plan_study)
