"""A study runs with what it takes over from presets, however Snakemake is started."""

from pathlib import Path

import pytest
from study_copy import copy_project, snakemake

LIST = "results/data/mine_birds.images.csv"
BOTH = ("--configfile", "mine.yaml", "more.yaml")
STUDY = """\
study: mine
presets: [jobs/small, storage, selection, features, methods/small-saes]
dataset: mine_birds
fit_dataset: mine_birds
selection: {n_train: [2, all]}
datasets:
  mine_birds:
    layout: cub200
    draw: {n_species: 3, n_images_per_species: 2, image_size: 64, seed: 0}
    n_shards: 1
encoders:
  tiny-vit: {layers: [3]}
runs:
  - {encoder: tiny-vit, layer: 3, method: topk, n_prototypes: 8, learning_rate: 0.003,
     sparsity: 4, seed: 0}
"""
MORE = """\
presets: [jobs/small, storage, selection, features, methods/small-saes,
  throughput/two-cores, encoders/tiny-vit]
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """The project with a study of its own, and a second file that completes it."""
    (tmp_path / "project").mkdir()
    workdir = copy_project(tmp_path / "project")
    (workdir / "mine.yaml").write_text(STUDY)
    (workdir / "more.yaml").write_text(MORE)
    return workdir


def test_jobs_in_processes_of_their_own_see_the_same_study(project):
    """Snakemake hands on files and `--config` as they were written."""
    config = ("--config", "how={device: cpu}")
    shown = snakemake(project, LIST, *BOTH, *config)
    assert shown.returncode == 0, shown.stdout
    assert len((project / LIST).read_text().splitlines()) == 1 + 3 * 2
    assert "Nothing to be done" in snakemake(project, LIST, *BOTH, *config).stdout


def test_what_stands_in_files_and_on_the_command_line_wins_over_presets(project):
    config = ("--config", "methods={saes: {topk: {start: random}}}")
    shown = snakemake(project, "all", "-n", "-p", *BOTH, *config)
    assert shown.returncode == 0, shown.stdout
    assert "--start random " in shown.stdout
    assert "--n_until_dead 20000 " in shown.stdout
    shown = snakemake(project, "all", "-n", *BOTH, "--config", "presets=[storage, x]")
    expected = (
        "--config: presets.1: 'x' is not a preset: there are encoders/bioclip-vit"
    )
    assert expected in shown.stdout
    assert "Traceback" not in shown.stdout


def test_presets_are_found_from_any_folder(project, tmp_path):
    files = [str(project / name) for name in ("mine.yaml", "more.yaml")]
    where = ("-s", str(project / "Snakefile"), "-d", str(tmp_path / "elsewhere"))
    shown = snakemake(project, "all", "-n", *where, "--configfile", *files)
    assert shown.returncode == 0, shown.stdout


def test_a_study_with_presets_is_run_as_a_module_of_another_workflow(project):
    (project / "Another").write_text(
        "configfile: 'mine.yaml'\nconfigfile: 'more.yaml'\n\n"
        "module birds:\n    snakefile: 'Snakefile'\n    config: config\n\n"
        "use rule * from birds\n"
    )
    shown = snakemake(project, "-s", "Another", "-n", "-p", "all")
    assert shown.returncode == 0, shown.stdout
    assert "--n_until_dead 20000 " in shown.stdout


def test_a_preset_that_changes_while_a_run_goes_on_is_named(project):
    preset = project / "config/presets/features.yaml"
    write = f"pathlib.Path({str(preset)!r}).write_text('features: {{}}')"
    script = project / "scripts/list_cub200.py"
    text = script.read_text()
    script.write_text(
        text.replace("\nif __name__", f"\nimport pathlib\n{write}\n\nif __name__")
    )
    shown = snakemake(project, LIST, *BOTH)
    assert shown.returncode != 0
    assert f"{preset} changed during this run" in shown.stdout
