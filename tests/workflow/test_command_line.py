"""A command that Snakemake misunderstands is refused with the one that is meant."""

import pytest
from study_copy import copy_project, snakemake


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project as it comes, in a folder without data or results."""
    return copy_project(tmp_path_factory.mktemp("bare"))


@pytest.mark.parametrize("target", ["all", "results/tiny/map_table.md", "README.md"])
def test_a_target_after_the_configuration_is_refused_with_the_command_to_write(
    project, target
):
    (project / "README.md").touch()
    shown = snakemake(project, "-n", "--configfile", "tiny.yaml", target)
    assert shown.returncode == 1
    assert shown.stdout.splitlines()[-1] == (
        f"--configfile takes {target} for another file of settings: write targets "
        f"before it: snakemake {target} --configfile tiny.yaml"
    )
    assert "Traceback" not in shown.stdout


def test_a_configuration_that_is_not_there_is_named(project):
    shown = snakemake(project, "all", "-n", "--configfile", "typo.yaml")
    assert shown.returncode == 1
    assert "--configfile: typo.yaml not found: write a stu" in shown.stdout
    assert "Traceback" not in shown.stdout


def test_two_files_of_settings_are_merged(project):
    (project / "more.yaml").write_text("how: {device: gpu}\n")
    command = ("list_runs", "-n", "--configfile", "tiny.yaml", "more.yaml")
    shown = snakemake(project, *command)
    assert f"{project}/more.yaml:1: how.device: 'gpu' is not auto, cpu" in shown.stdout
