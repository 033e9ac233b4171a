"""The segmentation study runs to its table, and only what a fix can change reruns."""

import csv
import json
import re
import shutil

import pytest
from study_copy import snakemake

STUDY = "results/tinyscenes"
PROBES = f"{STUDY}/tiny-vit/layer3/probes"
SUPPRESSION = f"{STUDY}/tiny-vit/layer{{}}/topk/suppression/k64-lr0.003-sparsity8-seed0"
REPORT = [
    "measure_suppression",
    "plot_suppression",
    "tabulate_suppression",
    "write_suppression_page",
]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rules_to_run(workdir):
    """The rules of the jobs that a run would run, sorted; the table of costs aside."""
    shown = snakemake(workdir, "all", "-n", "--configfile", "tiny_scenes.yaml")
    assert shown.returncode == 0, shown.stdout
    found = re.findall(r"^(?:local)?rule (\w+):", shown.stdout, re.MULTILINE)
    return sorted(rule for rule in found if rule not in ("all", "tabulate_cost"))


def test_the_table_judges_every_class_at_two_layers_beside_controls(segmented):
    text = (segmented / f"{STUDY}/suppression_table.md").read_text()
    run = "topk k64-lr0.003-sparsity8-seed0"
    assert f"Class by class: {run}, layer 3" in text
    assert f"Class by class: {run}, layer 2, probe of layer 3" in text
    for layer in (2, 3):
        table = rows(segmented / SUPPRESSION.format(layer) / "suppression.csv")
        assert {int(row["label"]) for row in table} == set(range(1, 16))
        assert {float(row["dose"]) for row in table} == {0, -0.2, -1}
        controls = {"random_latents", "frequent_latents", "random_directions"}
        others = {"other_class", "class_direction"}
        assert controls | others < {row["edit"] for row in table}
        for row in table:
            empty = [key for key, value in row.items() if not value and key != "note"]
            own = {"margin", "margin_low", "margin_high"}
            if row["edit"] == "latents":
                empty = [key for key in empty if key not in own]
            else:
                empty = [key for key in empty if key != "latents"]
            assert row["note"] or not empty, row


def test_latents_chosen_by_hand_are_suppressed(segmented):
    table = rows(segmented / SUPPRESSION.format(3) / "suppression.csv")
    chosen = {row["latents"] for row in table if row["label"] == "3"}
    assert "5 11" in chosen


def test_the_probe_is_the_best_of_its_sweep_on_held_out_training_images(segmented):
    sweep = rows(segmented / PROBES / "probes.csv")
    assert len(sweep) == 4
    best = max(float(row["held_out_miou"]) for row in sweep)
    (chosen,) = [row for row in sweep if row["is_best"] == "True"]
    assert float(chosen["held_out_miou"]) == best
    # Fifteen classes, so guessing would be far below.
    assert float(chosen["pixel_accuracy"]) > 0.3


def test_pictures_and_page_are_there_and_every_link_leads_to_a_file(segmented):
    pictures = segmented / SUPPRESSION.format(3) / "pictures"
    assert json.loads((pictures / "pictures.json").read_text())
    assert list(pictures.glob("*.png"))
    page = segmented / f"{STUDY}/index.html"
    for link in re.findall(r'(?:src|href)="([^"#:]+)"', page.read_text()):
        assert (page.parent / link).exists(), link


def test_autoencoders_have_not_learnt_from_validation_images(segmented):
    manifest = segmented / f"{STUDY}/tiny-vit/layer3/topk/checkpoints.json"
    (run,) = json.loads(manifest.read_text())["runs"]
    header = (segmented / run["path"]).read_bytes()[:20_000]
    assert rb"\"split\": \"train\"" in header.replace(rb"\\", b"\\")


def test_a_finished_study_has_nothing_to_do(segmented):
    assert rules_to_run(segmented) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        (
            "vitproto/report/segmentation/suppression_chart.py",
            "def ",
            "_UNUSED = 1\n\n\ndef ",
            [],
        ),
        (
            "vitproto/segmentation/suppression/edits.py",
            '"""',
            '"""In other words: ',
            [],
        ),
        (
            "tiny_scenes.yaml",
            "n_draws: 2",
            "n_draws: 3",
            ["suppress_latents", "suppress_latents", *REPORT],
        ),
        (
            "tiny_scenes.yaml",
            "min_purity: 0.9",
            "min_purity: 0.8",
            [
                *["find_class_latents", "show_suppression", "suppress_latents"] * 2,
                *REPORT,
            ],
        ),
        (
            "tiny_scenes.yaml",
            "pictures: {classes: [1, 8]",
            "pictures: {classes: [1, 9]",
            [
                *["show_suppression"] * 2,
                *("tabulate_suppression", "write_suppression_page"),
            ],
        ),
    ],
    ids=["unused code", "docstring", "draws", "purity", "pictures"],
)
def test_a_change_reruns_what_it_makes_stale(
    segmented, tmp_path, file, old, new, stale
):
    workdir = tmp_path / "copy"
    shutil.copytree(segmented, workdir)
    text = (workdir / file).read_text()
    assert old in text
    (workdir / file).write_text(text.replace(old, new, 1))
    assert rules_to_run(workdir) == sorted(stale)
