"""A cluster gets few jobs for a study, and few of them wait for one another."""

from collections.abc import Sequence

import pytest

from vitproto.core.project import PROJECT
from vitproto.launch.dry_run import DryRun, dry_run
from vitproto.launch.resource_requests import group_sizes
from vitproto.planning.costs.job import PlannedJob
from vitproto.planning.plan_text import write_submissions
from vitproto.planning.submissions import Submissions, groups_of, submissions
from vitproto.study.read_study import read_study

PROFILE = PROJECT / "profiles/slurm/config.yaml"


ON_GPU = ("record_activations", "score_images")


def count(
    *jobs: tuple[str, Sequence[int]],
    places: Sequence[int] | None = None,
    local: Sequence[str] = (),
    groups: dict[str, str] | None = None,
    sizes: dict[str, int] | None = None,
) -> Submissions:
    """Count for a graph given as `(rule, places of the jobs that it needs)`."""
    graph = [
        PlannedJob(rule, {}, uses_gpu=rule in ON_GPU, is_local=rule in local)
        for rule, _ in jobs
    ]
    needs = [needed for _, needed in jobs]
    places = range(len(jobs)) if places is None else places
    return submissions(graph, needs, places, groups or {}, sizes or {})


def test_jobs_in_a_chain_wait_for_one_another():
    chain = [("list_cub200", []), ("record_activations", [0]), ("fit_pca", [1])]
    assert count(*chain) == Submissions(n_jobs=3, n_on_gpu=1, n_waits=3)
    assert count(*chain, local=["list_cub200"]) == Submissions(2, 1, 2)
    assert count(*chain, places=[2]) == Submissions(1, 0, 1)
    assert count() == Submissions(0, 0, 0)


def test_a_local_job_between_two_others_is_no_wait():
    jobs = [("fit_pca", []), ("tabulate_map", [0]), ("score_images", [1])]
    assert count(*jobs, local=["tabulate_map"]) == Submissions(2, 1, 2)


def test_seven_shards_in_groups_of_three_are_three_jobs():
    shards = [("record_activations", [])] * 7
    counted = count(
        *shards,
        ("fit_random", range(7)),
        groups={"record_activations": "record"},
        sizes={"record": 3},
    )
    assert counted == Submissions(n_jobs=4, n_on_gpu=3, n_waits=2)


def test_jobs_of_a_group_that_need_one_another_are_one_job_without_a_wait():
    """The second k-means takes the centres of the first; two layers are apart."""
    jobs = [("fit_kmeans", []), ("fit_kmeans", [0])]
    jobs += [("fit_kmeans", []), ("fit_kmeans", [2]), ("select_prototypes", [1, 3])]
    groups = {"fit_kmeans": "kmeans"}
    assert count(*jobs, groups=groups) == Submissions(3, 0, 2)
    assert count(*jobs, groups=groups, sizes={"kmeans": 2}) == Submissions(2, 0, 2)
    assert count(*jobs) == Submissions(5, 0, 3)


def test_a_group_on_a_gpu_and_one_without_are_counted_apart():
    groups = {"score_images": "score", "fit_random": "draw", "fit_gaussian": "draw"}
    jobs = [("fit_random", []), ("fit_gaussian", []), ("score_images", [0])]
    sizes = {"score": 9, "draw": 9}
    assert count(*jobs, groups=groups, sizes=sizes) == Submissions(2, 1, 2)


@pytest.fixture(scope="module")
def real() -> tuple[dict, DryRun]:
    config = PROJECT / "config/config.yaml"
    shown = dry_run(config, PROJECT, ["results/cub200/map_table.md"])
    return read_study(config), shown


def test_the_real_table_takes_at_most_100_jobs_and_6_waits(real):
    """A family's permutations take longer than a group may, so each is a job."""
    study, shown = real
    groups = groups_of(PROFILE)
    assert groups["record_activations"] == "record"
    needs = [job.needs.keys() for job in shown.jobs]
    everything = range(len(needs))
    sizes = group_sizes(shown.planned, groups, study)
    planned = submissions(shown.planned, needs, everything, groups, sizes)
    assert planned.n_jobs <= 100
    assert planned.n_on_gpu <= 30
    assert planned.n_waits <= 6
    assert sizes[groups["permute_labels"]] == 1
    others = [i for i in everything if shown.planned[i].rule != "permute_labels"]
    short = submissions(shown.planned, needs, others, groups, sizes)
    assert short.n_jobs <= 50
    alone = submissions(shown.planned, needs, others, {}, {})
    assert alone.n_jobs > 5 * short.n_jobs


@pytest.mark.parametrize(
    ("counted", "sentence"),
    [
        (Submissions(0, 0, 0), "That takes no SLURM job."),
        (
            Submissions(1, 0, 1),
            "On SLURM that is 1 job, 0 of them with a GPU; the longest chain of jobs "
            "is 1.",
        ),
        (
            Submissions(1043, 27, 4),
            "On SLURM that is 1,043 jobs, 27 of them with a GPU; the longest chain of "
            "jobs is 4.",
        ),
    ],
)
def test_the_plan_ends_with_jobs_and_waits_in_a_sentence(counted, sentence):
    assert write_submissions(counted) == sentence
