"""A study takes over what presets say, and its own keys win."""

from pathlib import Path

import pytest
import yaml

from vitproto.core.project import PROJECT
from vitproto.study.presets import merge, resolve
from vitproto.study.read_study import read_study, resolve_and_check
from vitproto.study.settings_text import describe_settings


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with two presets; `tmp_path/study.yaml` is the study's own file."""
    presets = tmp_path / "config/presets"
    (presets / "methods").mkdir(parents=True)
    (presets / "storage.yaml").write_text("storage: {scores: s, weights: w}\n")
    (presets / "methods/saes.yaml").write_text(
        "storage: {weights: saes}\nmethods:\n  relu: &relu {n_aux: 1, n_mixed: 2}\n"
        "  topk: {<<: *relu, n_mixed: 3}\nlist: [1, 2]\n"
    )
    return tmp_path


def resolved(project: Path, text: str):
    file = project / "study.yaml"
    file.write_text(text)
    return resolve(yaml.safe_load(text), [file], project, {})


def test_sections_are_merged_key_by_key_and_other_values_replaced():
    base = {"a": {"b": 1, "c": {"d": 2}}, "list": [1, 2], "kept": 0}
    over = {"a": {"c": {"e": 3}}, "list": [3]}
    assert merge(base, over) == {
        "a": {"b": 1, "c": {"d": 2, "e": 3}},
        "list": [3],
        "kept": 0,
    }
    assert base["a"] == {"b": 1, "c": {"d": 2}}
    assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}


def test_later_presets_win_over_earlier_ones_and_the_study_over_all(project):
    config = resolved(
        project,
        "presets: [storage, methods/saes]\nstudy: mine\n"
        "methods: {topk: {n_aux: 9}}\nlist: [3]\n",
    ).config
    assert config == {
        "study": "mine",
        "storage": {"scores": "s", "weights": "saes"},
        "methods": {
            "relu": {"n_aux": 1, "n_mixed": 2},
            "topk": {"n_aux": 9, "n_mixed": 3},
        },
        "list": [3],
    }


def test_a_study_that_was_resolved_is_resolved_to_itself(project):
    first = resolved(project, "presets: [storage]\nstudy: mine\n")
    again = resolve(first.config, first.files, project, {})
    assert again == first


def test_each_setting_is_shown_with_the_file_and_line_that_it_comes_from(
    project, monkeypatch
):
    monkeypatch.chdir(project)
    text = "presets: [storage, methods/saes]\nmethods: {topk: {n_aux: 9}}\n"
    shown = describe_settings(resolved(project, text)).splitlines()
    saes = "config/presets/methods/saes.yaml"
    assert [line.split(maxsplit=2) for line in shown] == [
        ["setting", "from", "value"],
        ["storage.scores", "config/presets/storage.yaml:1", "s"],
        ["storage.weights", f"{saes}:1", "saes"],
        ["methods.relu.n_aux", f"{saes}:3", "1"],
        ["methods.relu.n_mixed", f"{saes}:3", "2"],
        ["methods.topk.n_aux", "study.yaml:2", "9"],
        ["methods.topk.n_mixed", f"{saes}:4", "3"],
        ["list", f"{saes}:5", "[1, 2]"],
    ]


@pytest.mark.parametrize(
    ("presets", "message"),
    [
        (
            "[storage, methods/sae]",
            "study.yaml:2: presets.1: 'methods/sae' is not a preset: did you mean "
            "methods/saes? There are methods/saes, storage",
        ),
        (
            "[x]",
            "study.yaml:2: presets.0: 'x' is not a preset: there are methods/saes, sto",
        ),
        ("storage", "presets: 'storage' is not a list of different presets: write"),
        ("[storage, storage]", "is not a list of different presets"),
        ("[[storage]]", "is not a list of different presets"),
        ("", "None is not a list of different presets"),
        ("[../presets/storage]", "'../presets/storage' is not a preset: "),
    ],
)
def test_a_preset_that_does_not_exist_is_refused_with_those_that_do(
    project, presets, message
):
    with pytest.raises(ValueError, match=".") as caught:
        resolved(project, f"study: mine\npresets: {presets}\n")
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["study: mine", "presets: [storage]"])
def test_a_preset_says_nothing_that_only_a_study_says(project, key):
    file = project / "config/presets/broken.yaml"
    file.write_text(f"list: []\n{key}\n")
    with pytest.raises(ValueError, match=f"{file}:2: {key.split(':')[0]}: is for stud"):
        resolved(project, "presets: [broken]\n")


def test_a_problem_in_a_preset_names_the_preset_and_its_line(tmp_path):
    for part in ("config", "workflow"):
        (tmp_path / part).symlink_to(PROJECT / part)
    (tmp_path / "config").unlink()
    (tmp_path / "config/presets").mkdir(parents=True)
    for file in (PROJECT / "config/presets").rglob("*.yaml"):
        copy = tmp_path / file.relative_to(PROJECT)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(file.read_text().replace("n_mixed: 76800", "n_mixed: -1"))
    study = PROJECT / "config/demo.yaml"
    with pytest.raises(ValueError, match=".") as caught:
        resolve_and_check(yaml.safe_load(study.read_text()), [study], tmp_path)
    saes = tmp_path / "config/presets/methods/small-saes.yaml"
    line = 1 + saes.read_text().splitlines().index("      n_mixed: -1")
    problems = str(caught.value).splitlines()
    assert len(problems) == 7  # kinds of autoencoders, all of the same line
    for problem in problems:
        assert problem.startswith(f"{saes}:{line}: methods.saes.")
        assert problem.endswith(".n_mixed: -1 is not a whole number of at least 1")


def test_every_preset_is_named_by_a_study_that_comes_with_the_project():
    named = {
        preset
        for file in (PROJECT / "config").glob("*.yaml")
        for preset in yaml.safe_load(file.read_text())["presets"]
    }
    folder = PROJECT / "config/presets"
    files = {file.relative_to(folder) for file in folder.rglob("*.yaml")}
    assert named == {str(file.with_suffix("")) for file in files}


def test_the_new_study_that_the_readme_shows_is_fit_to_run_and_short(tmp_path):
    readme = (PROJECT / "config/README.md").read_text(encoding="utf-8")
    text = readme.split("```yaml\n")[1].split("```")[0]
    assert len(text.splitlines()) <= 30
    (tmp_path / "mine.yaml").write_text(text)
    study = read_study(tmp_path / "mine.yaml")
    assert study["methods"]["saes"]["topk"]["n_until_dead"] == 10_000_000
