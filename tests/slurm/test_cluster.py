"""Before the first job, SLURM is asked whether it would accept all jobs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from vitproto.slurm import cluster, commands
from vitproto.slurm.cluster import Request, refusals, requests_of, without_accounts

SBATCH = """
case "$*" in
*--test-only*) ;;
*) echo "a job was submitted" >&2; exit 2;;
esac
case "$*" in
*--account=poor*)
  echo "allocation failure: Invalid account or account/partition combination" >&2
  exit 1;;
*--partition=staff*)
  echo "sbatch: a word of welcome" >&2
  echo "allocation failure: User's group not permitted to use this partition" >&2
  exit 1;;
*--partition=down*)
  echo "allocation failure: Required node not available (down or drained)" >&2
  exit 1;;
*--qos=golden*)
  echo "allocation failure: Invalid qos specification" >&2
  exit 1;;
*--gres=gpu:9*)
  echo "allocation failure: Requested node configuration is not available" >&2
  exit 1;;
esac
"""
SINFO = """
case "$*" in
*%R*) echo "small 64000"; echo "small 512000+"; echo "large 512000";;
*--partition=down*) echo drained; echo "down*";;
*) echo idle; echo drained;;
esac
"""
PARTITIONS = """
echo "PartitionName=small Default=YES MaxTime=UNLIMITED State=UP Nodes=a[1-3]"
echo "PartitionName=large Default=NO MaxTime=12:00:00 State=UP"
echo "PartitionName=staff Default=NO MaxTime=1-00:00:00 State=UP"
echo "PartitionName=down Default=NO MaxTime=UNLIMITED State=UP"
echo "PartitionName=closed Default=NO MaxTime=UNLIMITED State=DOWN"
"""


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder with fake programs of SLURM, the only ones on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    commands.partitions.cache_clear()
    commands.minutes_of_qos.cache_clear()
    commands.defaults_of_user.cache_clear()
    install(folder, "sbatch", SBATCH)
    install(folder, "sinfo", SINFO)
    install(folder, "scontrol", PARTITIONS)
    install(folder, "squeue", "")
    install(folder, "sacct", "exit 1")
    install(folder, "sacctmgr", "echo rich; echo poor; echo")
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def profiles(tmp_path) -> Path:
    folder = tmp_path / "profiles"
    (folder / "slurm").mkdir(parents=True)
    (folder / "slurm/config.yaml").write_text(
        "# slurm_partition: huge\n"
        "default-resources:\n"
        "  slurm_partition: huge    # of CPU nodes\n"
        "  slurm_account: nobody\n"
        "  slurm_qos: normal\n"
        "set-resources:\n"
        "  fit_sae: {slurm_partition: huge, mem_mb: 1, runtime: 900}\n"
        "  fit_pca: {slurm_partition: huge-2, runtime: 9000}\n"
        "  fit_kmeans: &long\n"
        "    runtime: 480 * attempt\n"
        "  fit_random: *long\n"
        "  score_images: {runtime: 240 * attempt}\n"
        "  show_features: {mem: 30G}\n"
    )
    return folder


def request(
    partition: str | None = "small",
    account: str | None = None,
    rule: str = "fit_sae",
    command: str = "sbatch",
    **settings: str,
) -> Request:
    return Request(rule, partition, account, tuple(settings.items()), command)


def test_partitions_and_accounts_that_are_there_are_no_problem(programs, profiles):
    requests = [request("small", "rich"), request("small,large"), request(None)]
    assert refusals(requests, profiles) == []


def test_an_unknown_partition_is_named_once_with_the_lines_to_change(
    programs, profiles
):
    requests = [request("huge"), request("huge", "rich"), request("small")]
    assert refusals(requests, profiles) == [
        "this cluster has no partition huge, only small, large, staff, down, closed: "
        "change slurm_partition in profiles/slurm/config.yaml, lines 3, 7"
    ]


def test_an_unknown_account_is_named_with_the_line_to_change(programs, profiles):
    (said,) = refusals([request("small", "nobody")], profiles)
    assert said.startswith("SLURM rejects jobs of the account nobody in the partition ")
    assert "The given account nobody appears to be invalid" in said
    assert said.endswith("change slurm_account in profiles/slurm/config.yaml, line 4")


def test_an_account_that_must_not_use_a_partition_is_named(programs, profiles):
    (said,) = refusals([request("large", "poor")], profiles)
    assert "jobs of the account poor in the partition large" in said
    assert "(allocation failure: Invalid account or account/partition" in said
    assert "slurm_account under default-resources" in said


def test_a_partition_for_others_is_named(programs, profiles):
    (said,) = refusals([request("staff")], profiles)
    assert "jobs in the partition staff (allocation failure: User's group" in said


def test_an_account_that_is_needed_but_not_named_is_asked_for(programs, profiles):
    install(
        programs,
        "sbatch",
        'case "$*" in *--account*) exit 0;; esac\necho "Invalid account" >&2\nexit 1',
    )
    (said,) = refusals([request()], profiles)
    assert said == (
        "SLURM rejects jobs without an account in the partition small (Invalid "
        "account): change slurm_account under default-resources and set-resources of "
        "your profile"
    )
    install(programs, "sacct", "echo rich")  # the account of the last job
    assert refusals([request()], profiles) == []


def test_a_key_that_the_plugin_ignores_is_refused_with_the_right_one(
    programs, profiles
):
    assert refusals([request(slurm_qos="normal")], profiles) == [
        "slurm_qos in profiles/slurm/config.yaml, line 5 has no effect: the key is qos"
    ]


def test_more_time_than_a_partition_allows_is_refused_with_the_line(programs, profiles):
    """SLURM would accept such a job and never start it, so it is not asked."""
    assert refusals([request("large", runtime="900")], profiles) == [
        "jobs of fit_sae ask for 900 minutes, but the partition large allows 720: "
        "change runtime in profiles/slurm/config.yaml, line 7"
    ]
    for fits in (
        request("large", runtime="720"),
        request("small,large", runtime="900"),
        request(None, runtime="900"),  # the default partition has no limit
    ):
        assert refusals([fits], profiles) == []


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ("fit_random", ", line 10"),
        ("score_images and select_prototypes", ", line 12"),
        ("fit_gaussian", None),
    ],
)
def test_an_expression_that_grows_beyond_a_limit_is_found_by_its_rule(
    programs, profiles, rule, where
):
    (said,) = refusals([request("large", rule=rule, runtime="960")], profiles)
    assert f"jobs of {rule} ask for 960 minutes" in said
    if where:
        assert said.endswith(f"change runtime in profiles/slurm/config.yaml{where}")
    else:
        assert said.endswith("change runtime under set-resources of your profile")


def test_what_slurm_says_of_a_setting_names_the_setting(programs, profiles):
    golden = request(command="sbatch --qos=golden", qos="golden")
    (said,) = refusals([golden], profiles)
    assert said.startswith("SLURM rejects jobs of fit_sae in the partition small with ")
    assert "qos golden (allocation failure: Invalid qos specification): change" in said


def test_where_slurm_does_not_say_which_setting_all_are_named(programs, profiles):
    many = request(command="sbatch --gres=gpu:9", gpu="9", mem_mb="1", threads="8")
    (said,) = refusals([many], profiles)
    assert said.endswith(
        "(allocation failure: Requested node configuration is not available), which "
        "ask for: gpu 9; mem_mb 1 (profiles/slurm/config.yaml, line 7); threads 8"
    )


def test_one_mistake_is_one_sentence_for_all_rules_and_tries(programs, profiles):
    golden = [
        request(rule=rule, command="sbatch --qos=golden", qos="golden", runtime=minutes)
        for rule in ("fit_sae", "fit_pca and fit_random", "fit_kmeans")
        for minutes in ("10", "20")
    ]
    (said,) = refusals(golden, profiles)
    assert "jobs of fit_kmeans, fit_pca, fit_random and fit_sae in the part" in said
    growing = [
        request("large", rule="fit_random", runtime=str(480 * n)) for n in (3, 2, 1)
    ]
    (said,) = refusals(growing, profiles)
    assert said.startswith("jobs of fit_random ask for 960 minutes, but the partition")


LIMITS = """
echo "PartitionName=small Default=YES MaxTime=1-00:00:00 State=UP MaxMemPerNode=8000"
echo "PartitionName=mine Default=NO MaxTime=UNLIMITED State=UP AllowAccounts=rich"
echo "PartitionName=own Default=NO MaxTime=UNLIMITED State=UP QoS=hour DenyQos=slow"
"""


@pytest.mark.parametrize(
    ("asks", "said"),
    [
        (
            {"partition": "small", "qos": "hour", "runtime": "61"},
            "jobs of fit_sae ask for 61 minutes, but the QOS hour allows 60: change "
            "runtime in profiles/slurm/config.yaml, line 7, or qos under default-"
            "resources and set-resources of your profile",
        ),
        (
            {"partition": "own", "qos": "day", "runtime": "61"},
            "jobs of fit_sae ask for 61 minutes, but the partition own allows 60: "
            "change runtime in profiles/slurm/config.yaml, line 7",
        ),
        (
            {"partition": "small", "mem_mb": "8001"},
            "jobs of fit_sae ask for 8001 MB of memory, but the partition small allows "
            "8000: change mem_mb in profiles/slurm/config.yaml, line 7",
        ),
        (
            {"partition": "small", "rule": "show_features", "mem_mb": "30000"},
            "jobs of show_features ask for 30000 MB of memory, but the partition small "
            "allows 8000: change mem_mb in profiles/slurm/config.yaml, line 13",
        ),
        (
            {"partition": "mine", "account": "nobody"},
            "the partition mine accepts no jobs of the account nobody: change "
            "slurm_account in profiles/slurm/config.yaml, line 4, or slurm_partition "
            "under default-resources and set-resources of your profile",
        ),
        (
            {"partition": "own", "qos": "slow"},
            "the partition own accepts no jobs of the qos slow: change qos under "
            "default-resources and set-resources of your profile, or slurm_partition "
            "under default-resources and set-resources of your profile",
        ),
        ({"partition": "small", "qos": "hour", "runtime": "60"}, None),
        ({"partition": "small", "qos": "day", "runtime": "1440"}, None),
        ({"partition": "mine,small", "account": "poor"}, None),
        ({"partition": "mine", "account": "rich", "mem_mb": "9000"}, None),
    ],
)
def test_limits_of_which_a_test_of_sbatch_says_nothing_are_read(
    programs, profiles, asks, said
):
    """SLURM accepts such jobs, and never starts them."""
    install(programs, "scontrol", LIMITS)
    install(
        programs,
        "sacctmgr",
        'case "$*" in *qos*) echo "hour|01:00:00"; echo "day|1-00:00:00"; '
        'echo "slow|";; *) echo rich; echo poor; echo nobody;; esac',
    )
    install(programs, "sbatch", "exit 0")
    assert refusals([request(**asks)], profiles) == ([said] if said else [])


def test_what_slurm_takes_for_jobs_that_do_not_say_counts_too(programs, profiles):
    install(programs, "scontrol", LIMITS)
    install(
        programs,
        "sacctmgr",
        'case "$*" in *"show qos"*) echo "hour|01:00:00";; '
        '*withassoc*|*-s*) echo "poor|rich|"; echo "poor|poor|hour";; esac',
    )
    install(programs, "sbatch", "exit 0")
    assert commands.defaults_of_user() == ("poor", "hour")
    (said,) = refusals([request("mine")], profiles)
    assert said.startswith("the partition mine accepts no jobs of the account poor: ")
    (said,) = refusals([request("small", runtime="61")], profiles)
    assert "ask for 61 minutes, but the QOS hour allows 60: " in said
    assert refusals([request("small", runtime="60")], profiles) == []


def test_a_limit_of_a_qos_is_not_taken_for_one_of_a_partition(programs, profiles):
    install(
        programs,
        "sbatch",
        'echo "allocation failure: Job violates accounting/QOS policy (job submit '
        "limit, user's size and/or time limits)\" >&2; exit 1",
    )
    (said,) = refusals([request(qos="small", runtime="4")], profiles)
    assert "jobs of fit_sae in the partition small with qos small (allocation " in said
    assert "change qos under default-resources and" in said


def test_nodes_that_are_down_now_are_no_problem_but_said(programs, profiles):
    requests = [request("down"), request("closed", rule="fit_pca"), request("small")]
    assert refusals(requests, profiles) == []
    assert cluster.warnings(requests) == [
        "the partition closed is down: jobs of fit_pca wait until it is up",
        "all nodes of the partition down are down or drained: jobs of fit_sae wait "
        "until one works",
    ]
    assert cluster.warnings([request("large")]) == []


def test_a_controller_that_does_not_answer_is_no_unknown_partition(programs, profiles):
    install(programs, "sinfo", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(
        commands.NoAnswerError, match="Unable to contact slurm controller"
    ):
        refusals([request()], profiles)


def test_a_cluster_without_accounts_is_told_what_to_write(programs, profiles):
    assert without_accounts("squeue", profiles) == []
    install(
        programs, "sacct", "echo 'Slurm accounting storage is disabled' >&2\nexit 1"
    )
    assert without_accounts("sacct", profiles) == [
        "sacct does not answer (Slurm accounting storage is disabled), so Snakemake "
        "could not tell when a job ends: if this cluster has no job accounting, write "
        "slurm-status-command: squeue in profiles/slurm/config.yaml"
    ]
    install(programs, "sacct", "")
    assert without_accounts("sacct", profiles) == []


class Item(SimpleNamespace):
    """The used part of Snakemake's jobs and groups."""

    minutes: int
    attempt = 1

    def is_group(self) -> bool:
        return hasattr(self, "jobs")

    @property
    def resources(self) -> SimpleNamespace:
        asks = {"mem_mb": 2000, "runtime": self.minutes * self.attempt, **self.others}
        return Resources(**asks)


class Resources(SimpleNamespace):
    """Resources with attributes and `get`."""

    def get(self, key, default=None):
        return getattr(self, key, default)

    def __getitem__(self, key):
        return getattr(self, key)


def item(rule: str, minutes: int = 10, **others) -> Item:
    return Item(
        **{"rule": SimpleNamespace(name=rule), "minutes": minutes, "others": others},
        **{"threads": 8, "name": rule},
    )


def test_each_kind_of_job_is_asked_for_once_at_each_try():
    others = {"gpu": "2", "qos": "long"}
    jobs = [item("fit_pca"), item("fit_pca"), item("fit_sae", **others)]
    found = requests_of(jobs, retries=1)
    assert [(r.rule, dict(r.settings)) for r in found] == [
        ("fit_pca", {"mem_mb": "2000", "runtime": "10", "threads": "8"}),
        ("fit_pca", {"mem_mb": "2000", "runtime": "20", "threads": "8"}),
        *(
            ("fit_sae", {**others, "mem_mb": "2000", "runtime": n, "threads": "8"})
            for n in ("10", "20")
        ),
    ]
    assert "--gpus=2" in found[2].command or "--gres=gpu:2" in found[2].command
    assert "--cpus-per-task=8" in found[0].command
    assert [job.attempt for job in jobs] == [1, 1, 1]


def test_a_group_is_named_by_its_rules_and_another_cluster_is_not_asked():
    group = item("", slurm_partition="large", slurm_account="rich")
    group.jobs = [item("score_images"), item("fit_pca"), item("fit_pca")]
    elsewhere = item("fit_sae", clusters="far")
    (found,) = requests_of([group, elsewhere], retries=0)
    assert found[:3] == ("fit_pca and score_images", "large", "rich")
