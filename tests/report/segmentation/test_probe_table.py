"""A sweep of four probes and four classes, told in words."""

import re
import runpy

import pytest
from suppression_rows import BASELINE, PROBES, write_probes

from vitproto.core.project import PROJECT
from vitproto.report.segmentation.probe_markdown import (
    write_choice_note,
    write_probe_table,
)
from vitproto.report.segmentation.probe_table import (
    check_same_probe,
    read_baseline,
    read_probes,
)

tabulate_probes = runpy.run_path(str(PROJECT / "scripts/tabulate_probes.py"))[
    "tabulate_probes"
]


def read(folder):
    probes, baseline = write_probes(folder)
    return read_probes(probes), read_baseline(baseline)


def rows_of(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_chosen_probe_is_named_and_that_validation_images_did_not_choose(tmp_path):
    text = write_probe_table(*read(tmp_path))
    # Another is better on the validation images.
    assert (
        "Of 4 probes, the chosen one, with learning rate 0.001 and weight decay 0.1, "
        "reaches mIoU 0.500 over 3 classes and pixel accuracy 0.800."
    ) in text
    assert "its mIoU over the patches of held-out training images. Validation" in text
    assert ["0.001 ‡", "0.1", "0.550", "0.500", "0.800", "0.520"] in rows_of(text)
    assert text.count("‡") == 2  # in the table and in what it means
    assert "full resolution" not in text


def test_classes_that_are_not_shown_are_left_out_of_miou_and_named(tmp_path):
    text = write_probe_table(*read(tmp_path))
    assert (
        "1 class of 4 that the validation images do not show is left out of mIoU: "
        "3 sky."
    ) in text
    rows = rows_of(text)
    labels = [row[0] for row in rows if row[0] in list("1234")]
    assert labels == ["1", "2", "3", "4"]
    expected = ["3", "sky", "0", "0", "–", "–", "not in the validation images"]
    assert expected in rows
    assert "nan" not in text.lower()


def test_a_choice_at_the_edge_of_the_sweep_is_told(tmp_path):
    probes, _ = read(tmp_path)
    note = write_choice_note(probes)
    assert "learning rate is the lowest of the sweep and its weight decay is" in note
    middle = probes.assign(learning_rate=[0.001, 0.01, 0.1, 0.1], weight_decay=0.1)
    middle["is_best"] = [False, True, False, False]
    assert "of the sweep:" not in write_choice_note(middle)


def test_a_single_probe_was_not_chosen(tmp_path):
    probes, classes = read(tmp_path)
    text = write_probe_table(probes[probes["is_best"]], classes)
    assert "The only probe, with learning rate 0.001 and weight decay 0.1, reaches" in (
        text
    )
    assert "There was no other probe to choose from" in text
    assert "optimistic" not in text


def test_where_no_class_is_shown_no_number_is_made_up(tmp_path):
    probes, classes = read(tmp_path)
    none = classes.assign(n_pixels=0, iou=float("nan"), note="not there")
    text = write_probe_table(probes, none)
    assert "The validation images show no class, so no probe can be judged." in text
    assert "nan" not in text.lower()


def test_the_stage_writes_the_same_bytes_twice(tmp_path):
    files = write_probes(tmp_path)
    written = set()
    for i in range(2):
        table, csv = tmp_path / f"{i}.md", tmp_path / f"{i}.csv"
        tabulate_probes(*files, table, csv)
        written.add((table.read_bytes(), csv.read_bytes()))
    ((_, csv),) = written
    assert csv.decode().splitlines()[:3] == [
        "learning_rate,weight_decay,loss,held_out_miou,miou,pixel_accuracy,is_best",
        "0.001,1e-05,0.53,0.54,0.51,0.79,False",
        "0.001,0.1,0.52,0.55,0.5,0.8,True",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("0.8,True", "0.8,False", "marks 0 of 4 probes as the best"),
        (
            "0.01,0.1",
            "0.01,1e-05",
            "line 5: this probe is on an earlier line too: learning_rate 0.01",
        ),
        (",miou", ",iou", "lacks the columns miou"),
        ("0.91", "much", "probes.csv: "),
    ],
)
def test_damaged_sweeps_are_refused(tmp_path, old, new, expected):
    path = tmp_path / "probes.csv"
    assert old in PROBES
    path.write_text(PROBES.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_probes(path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "4,floor",
            "1,floor",
            "line 5: this label is on an earlier line too: label 1, class_name fl",
        ),
        (",not in the validation images", ",", "line 2: a number is missing and no"),
        ("5200,0.75,0.875,", "5200,,,lost", "line 3: the class is shown but has no"),
    ],
)
def test_damaged_baselines_are_refused(tmp_path, old, new, expected):
    path = tmp_path / "baseline.csv"
    assert old in BASELINE
    path.write_text(BASELINE.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_baseline(path)


def test_a_baseline_of_another_probe_is_refused(tmp_path):
    probes, classes = read(tmp_path)
    check_same_probe(probes, classes)
    with pytest.raises(ValueError, match="has mIoU 0.5, but the mean .* is 0.53333"):
        check_same_probe(probes, classes.replace({"iou": {0.75: 0.8}}))
    with pytest.raises(ValueError, match="there is no file"):
        read_probes(tmp_path / "none.csv")
