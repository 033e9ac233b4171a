"""Before jobs are submitted, SLURM is asked whether it will take them."""

import getpass
from pathlib import Path

import pytest

from vitproto.study import cluster
from vitproto.study.cluster import Place, problems

SBATCH = """
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
*--test-only*) exit 0;;
*) echo "a job was submitted" >&2; exit 2;;
esac
"""


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder with all programs of SLURM that are found, which are not real."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    install(folder, "sbatch", SBATCH)
    install(folder, "sinfo", "echo small; echo large; echo staff; echo down")
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
        "set-resources:\n"
        "  fit_sae: {slurm_partition: huge, mem_mb: 1}\n"
        "  fit_pca: {slurm_partition: huge-2}\n"
    )
    return folder


def ask(profiles: Path, *places: Place, begun: tuple[str, ...] = ()) -> list[str]:
    return problems(places, set(begun), profiles.parent, profiles)


def test_partitions_and_accounts_that_are_there_are_no_problem(programs, profiles):
    places = [Place("small", "rich"), Place("small,large", None), Place(None, None)]
    assert ask(profiles, *places) == []


def test_an_unknown_partition_is_named_once_with_the_lines_to_change(
    programs, profiles
):
    places = [Place("huge", None), Place("huge", "rich"), Place("small", None)]
    assert ask(profiles, *places) == [
        "this cluster has no partition huge, but small, large, staff, down: change "
        "slurm_partition in profiles/slurm/config.yaml, lines 3, 6"
    ]


def test_an_unknown_account_is_named_with_the_line_to_change(programs, profiles):
    (said,) = ask(profiles, Place("small", "nobody"))
    assert said.startswith("SLURM takes no job of the account nobody in the partition ")
    assert "The given account nobody appears to be invalid" in said
    assert said.endswith("change slurm_account in profiles/slurm/config.yaml, line 4")


def test_an_account_that_must_not_use_a_partition_is_named(programs, profiles):
    (said,) = ask(profiles, Place("large", "poor"))
    assert "no job of the account poor in the partition large" in said
    assert "(allocation failure: Invalid account or account/partition" in said
    assert "slurm_account under default-resources" in said


def test_a_partition_for_others_is_named(programs, profiles):
    (said,) = ask(profiles, Place("staff", None))
    assert "no job in the partition staff (allocation failure: User's group" in said


def test_an_account_that_is_needed_but_not_named_is_asked_for(programs, profiles):
    install(
        programs,
        "sbatch",
        'case "$*" in *--account*) exit 0;; esac\necho "Invalid account" >&2\nexit 1',
    )
    (said,) = ask(profiles, Place("small", None))
    assert said == (
        "SLURM takes no job without an account in the partition small (Invalid "
        "account): change slurm_account under default-resources and set-resources of "
        "your profile"
    )
    install(programs, "sacct", "echo rich")  # the account of the last job
    assert ask(profiles, Place("small", None)) == []


def test_nodes_that_are_down_now_are_no_problem(programs, profiles):
    assert ask(profiles, Place("down", None)) == []


@pytest.mark.parametrize("name", ["sbatch", "sinfo"])
def test_a_machine_without_slurm_is_told_from_one(programs, profiles, name):
    (programs / name).unlink()
    (said,) = ask(profiles, Place("small", None))
    assert f"not installed on this machine, there is no {name}: log in to the" in said


def test_a_controller_that_does_not_answer_is_no_unknown_partition(
    programs, profiles, monkeypatch
):
    install(programs, "sinfo", "echo 'Unable to contact slurm controller' >&2; exit 1")
    expected = ["SLURM does not answer: Unable to contact slurm controller"]
    assert ask(profiles, Place("small", None)) == expected
    monkeypatch.setattr(cluster, "ANSWERS_WITHIN_S", 0.2)
    install(programs, "sinfo", "while :; do :; done")
    (said,) = ask(profiles, Place("small", None))
    assert said == "SLURM does not answer: sinfo said nothing for 0.2 seconds"


def test_jobs_of_an_earlier_run_are_told_from_others(programs, profiles):
    here = profiles.parent
    install(
        programs,
        "squeue",
        f'[ "$2" = "--user={getpass.getuser()}" ] || exit 1\n'
        f"echo '11|rule_fit_pca_wildcards_a|{here}'\n"
        f"echo '12|rule_fit_pca_wildcards_b|{here}'\n"
        "echo '13|rule_fit_pca_wildcards_a|/another/folder'\n"
        f"echo '14|(null)|{here}'\n"
        f"echo '15|rule_fit_sae|{here}/bin/..'",
    )
    begun = ("rule_fit_pca_wildcards_a", "rule_fit_sae")
    (said,) = ask(profiles, Place("small", None), begun=begun)
    assert "11 (rule_fit_pca_wildcards_a), 15 (rule_fit_sae): wait until" in said
    assert said.endswith("or cancel them: scancel 11 15")
    assert ask(profiles, Place("small", None)) == []
