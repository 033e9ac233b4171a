"""A prototype method is one file and one line: follow the recipe of CONTRIBUTING.md."""

import re
import shutil

import pandas as pd
import pytest
from reliability import make_study
from study_copy import PROJECT, snakemake

MICRO = ("--configfile", "micro.yaml")
TABLE = "results/micro/map_table.md"
AP = "results/micro/tiny-vit/layer3/{}/ap.csv"


@pytest.fixture(scope="module")
def recipe():
    """The file and the line that CONTRIBUTING.md tells to write."""
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, section = text.split("## Add a prototype method\n")
    (file,) = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
    (line,) = re.findall(r"^```yaml\n(.*?)^```", section, re.M | re.S)
    return file, line


def test_following_the_recipe_adds_a_method_to_the_table_and_reruns_no_other(
    tmp_path, recipe
):
    file, line = recipe
    make_study(tmp_path)
    first = snakemake(tmp_path, TABLE, *MICRO)
    assert first.returncode == 0, first.stdout
    shutil.copytree(tmp_path / "results", tmp_path / "before")

    (tmp_path / "scripts/fit_pairs.py").write_text(file)
    study = (tmp_path / "micro.yaml").read_text()
    (tmp_path / "micro.yaml").write_text(study.replace("runs:\n", f"runs:\n{line}", 1))
    again = snakemake(tmp_path, TABLE, *MICRO)
    assert again.returncode == 0, again.stdout
    made = sorted(re.findall(r"^(?:local)?rule (\w+):", again.stdout, re.M))
    assert made == [
        *("compare_methods", "fit_pairs", "permute_labels", "score_images"),
        *("select_prototypes", "tabulate_map"),
    ]
    assert "pairs" in (tmp_path / TABLE).read_text()
    ap = pd.read_csv(tmp_path / AP.format("pairs"))
    assert {*ap.method} == {"pairs"}
    assert {*ap.n_prototypes} == {4}
    before, after = (tmp_path / folder for folder in ("before", "results"))
    for method in ("random", "kmeans"):
        path = AP.format(method).removeprefix("results/")
        assert (before / path).read_bytes() == (after / path).read_bytes()
    assert "Nothing to be done" in snakemake(tmp_path, TABLE, *MICRO).stdout


def test_a_method_without_a_file_is_refused_with_the_names_of_those_that_have_one(
    tmp_path, recipe
):
    _, line = recipe
    make_study(tmp_path)
    study = (tmp_path / "micro.yaml").read_text()
    (tmp_path / "micro.yaml").write_text(study.replace("runs:\n", f"runs:\n{line}", 1))
    shown = snakemake(tmp_path, TABLE, "-n", *MICRO)
    assert shown.returncode != 0
    assert "pairs" in shown.stdout
    assert "random" in shown.stdout
