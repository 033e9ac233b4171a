"""Tables of the effects of suppression on a few classes, and the files they show."""

import json
import re
import runpy
from dataclasses import replace

import pytest
from suppression_found import DOSE, SAE, against, read
from suppression_rows import (
    EXPECTED,
    PLACE,
    change_row,
    compared_row,
    files_of,
    latent_row,
    mean_row,
    means,
    plausible,
    row,
    write_sae,
)

from vitproto.core.project import PROJECT
from vitproto.report.segmentation.suppression_links import (
    IMAGE_KEYS,
    ClassPictures,
    find_pictures,
)
from vitproto.report.segmentation.suppression_markdown import (
    describe_changes,
    describe_latents,
    show_classes,
    show_summary,
    write_suppression_table,
)
from vitproto.report.segmentation.suppression_rows import (
    Place,
    check_complete,
    check_dose,
    read_suppression,
)


def stage(name):
    return runpy.run_path(str(PROJECT / f"scripts/{name}.py"))[name]


# Tables ---------------------------------------------------------------------------


def test_the_table_of_classes_shows_what_was_measured(tmp_path):
    rows = [
        *against(1, 0.4, frequent_latents=0.1),
        row(2, "latents", DOSE, 0.1, latents="9", note="shown by one image"),
        row(2, "frequent_latents", DOSE, note="no other latent is active"),
        row(3, "latents", DOSE, note="not in the validation images"),
    ]
    latents = [
        *(latent_row(1, 100, 1, ap=0.5), latent_row(1, 1, 0, ap=0.8)),
        latent_row(2, 9, alignment=-0.125),
        latent_row(4, "", note="no training patch"),
    ]
    changes = [
        *(change_row(1, 2, 0.5), change_row(1, 3, 0.25), change_row(1, 77, 0.15)),
        change_row(1, 4, 0.1),
    ]
    table = show_classes(read(tmp_path, rows, latents, changes), SAE, DOSE)
    first, second, third, fourth = table.rows
    assert first == [
        *("1", "wall", "1 100", "0.80 0.50", "0.25 0.25"),
        *("0.800 → 0.390", "0.500 → 0.490", "41.0", "2.0"),
        "building 50 %, sky 25 %, label 77 15 %",
        *("0.400 (0.370 to 0.430)", "0.300 (0.270 to 0.330)", ""),
    ]
    assert second[4] == "−0.12"
    assert second[-2:] == ["–", "shown by one image; no other latent is active"]
    assert third == ["3", "sky", *["–"] * 10, "not in the validation images"]
    # It stands in the latents alone: not silently dropped.
    assert fourth == ["4", "floor", *["–"] * 10, "not measured at this dose"]


def test_latents_without_measures_and_classes_without_changes_have_dashes(tmp_path):
    rows = [row(1, "latents", DOSE, 0.1, latents="3 4")]
    latents = [latent_row(1, 3, ap="", alignment="")]
    found = read(tmp_path, rows, latents)
    assert describe_latents(found, SAE, 1, "3 4") == ("– –", "– –")
    assert describe_changes(found, SAE, 1, DOSE) == "–"
    changes = [change_row(1, 2, 0.996), change_row(1, 3, 0.004)]
    found = read(tmp_path, rows, latents, changes)
    assert describe_changes(found, SAE, 1, DOSE) == "label 2 100 %"


def test_notes_and_numbers_of_a_whole_study_hold_no_nan(tmp_path):
    rows, latents, changes = plausible()
    compared = [compared_row(), compared_row(at="half")]
    found = read(tmp_path, rows, latents, changes, means(), compared)
    links = [
        ClassPictures(Place(**PLACE), 1, "wall", "", "p", (0.0,), 1.0, [{}], {}),
        ClassPictures(
            *(Place(**PLACE), 7, "lamp", "not in the validation images"),
            *("p", (0.0,), 0.0, [], {}),
        ),
    ]
    text = write_suppression_table(found, DOSE, {"curves": "d.png"}, links)
    assert "nan" not in text.lower()
    assert "inf" not in text
    assert "Charts: [curves](d.png)." in text
    assert (
        "Pictures: [1 wall](index.html#layer10-topk-k512-seed0-class1), "
        "7 lamp (not in the validation images)."
    ) in text
    assert "3 of 8 classes could not be judged" in text
    for label in range(1, 9):
        assert re.search(rf"^\| +{label} \|", text, re.M)


def test_where_everything_is_missing_nothing_is_made_up(tmp_path):
    rows = [
        row(1, "latents", DOSE, note="not in the validation images"),
        row(2, "latents", DOSE, note="no training patch of purity ≥ 0.9"),
    ]
    latents = [latent_row(1, 5), latent_row(2, "", note="no training patch")]
    none = dict.fromkeys(mean_row("latents").keys() - PLACE.keys(), "") | {
        **{"edit": "latents", "at": "length", "is_main": True, "length": 0.25},
        **{"n_classes": 0, "n_unjudged": 2, "n_unreached": 0},
        **{"n_half": 0, "n_gone": 0},
    }
    found = read(tmp_path, rows, latents, means=[PLACE | none])
    text = write_suppression_table(found, DOSE, {}, [])
    assert "No conclusion: no class could be compared with equally long" in text
    assert f"With {SAE}, no class could be judged." in text
    assert "2 of 2 classes could not be judged" in text
    assert "nan" not in text.lower()
    (cells,) = show_summary(found).rows
    assert cells == [SAE, "its latents", "0.25", *["–"] * 7, "0", "0", "0"]


# Files ----------------------------------------------------------------------------


def two_saes(folder):
    one = write_sae(folder, "one", *plausible(0))
    two = write_sae(folder, "two", *plausible(1, strength=0.1), layer=9)
    return one, two


def test_the_stage_writes_the_same_bytes_whatever_the_order_of_saes(tmp_path):
    one, two = two_saes(tmp_path)
    runs = ("tiny/layer10/topk,tiny/layer9/topk:k512-seed0",)
    both = replace(EXPECTED, sae_families=runs)
    of_both = [*means(), *means(layer=9)]
    written = set()
    for i, order in enumerate([(one, two), (two, one)]):
        table = tmp_path / f"{i}.md"
        rows = of_both[:: 1 - 2 * i]
        stage("tabulate_suppression")(
            files_of(*order, means=rows, compared=[compared_row()]),
            *(tmp_path / "dose.png", tmp_path / "class.png", (), table),
            dose=DOSE,
            expected=both,
        )
        written.add(table.read_text())
    (text,) = written
    assert "[losses by edit length](dose.png)" in text
    # The lower layer first, and edits in their order.
    start = text.index("## All edits, at equal length")
    lines = text[start:].splitlines()[4:16]
    assert all("topk k512-seed0, layer 9, probe of layer 10" in x for x in lines[:6])
    assert all("topk k512-seed0, layer 10" in x for x in lines[6:])
    assert "its latents" in lines[0]
    assert "class direction (ceiling)" in lines[5]


def test_a_dose_that_was_not_measured_is_refused(tmp_path):
    found = read(tmp_path, against(1, 0.4))
    with pytest.raises(ValueError, match="dose is -3, but .* the doses -2: take"):
        check_dose(found, -3.0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "10,10,topk,k512-seed0,1,wall,latents",
            "10,10,topk,k512-seed0,1,wall,all",
            "line 2: the edit is none of latents, random_",
        ),
        (
            ",random_latents,",
            ",latents,",
            "line 3: this class, edit and dose are on an earlier",
        ),
        ("specificity,", "precision,", "lacks the columns specificity"),
        ("k512-seed0", "k512-seed1", "holds rows of 2 SAEs, expected one"),
        ("0.8,", "most,", "a.suppression.csv: "),
    ],
)
def test_damaged_files_are_refused(tmp_path, old, new, expected):
    rows = against(1, 0.4, random_latents=0.1)
    files = write_sae(tmp_path, "a", rows, [latent_row(1, 1)])
    text = files[0].read_text()
    assert old in text
    files[0].write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_suppression(files_of(files), ())


def test_what_is_missing_without_a_note_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 2: nothing was measured, and no note"):
        read(tmp_path, [row(1, "latents")])
    with pytest.raises(ValueError, match="line 2: the class has no latent, and no"):
        read(tmp_path, against(1, 0.4), [latent_row(1, "")])


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    one, two = two_saes(tmp_path)
    (a, a_latents, a_changes), (b, b_latents, b_changes) = one, two
    with pytest.raises(ValueError, match="2 files of suppression, 1 of class latents"):
        read_suppression(replace(files_of(one, two), class_latents=(a_latents,)), ())
    mixed = (a, a_latents, b_changes), (b, b_latents, a_changes)
    with pytest.raises(ValueError, match="are of different SAEs"):
        read_suppression(files_of(*mixed), ())
    with pytest.raises(ValueError, match="files of suppression hold topk k512-seed0"):
        read_suppression(files_of(*[one] * 2), ())
    with pytest.raises(ValueError, match="call label 1 'wall' and 'door'"):
        read(tmp_path, against(1, 0.4), [latent_row(1, 1, name="door")])


def test_pictures_are_found_by_what_they_say_of_themselves(tmp_path):
    folder = tmp_path / "of wall?"
    folder.mkdir()
    image = dict.fromkeys(IMAGE_KEYS, "x") | {"labels": [0, 3]}
    image |= {"after": ["a", "b"], "n_found_after": [3, 1]}
    one = {"label": 1, "class_name": "wall", "note": "", "images": [image]}
    none = {"label": 7, "class_name": "lamp", "note": "not there", "images": []}
    classes = [none | {"highest": 0.0}, one | {"highest": 2.5}]
    colors = {"1": {"name": "wall"}, "3": {"name": "sky"}}
    told = {"classes": classes, "colors": colors, "settings": {"doses": [0, -1]}}
    (folder / "pictures.json").write_text(json.dumps(PLACE | told))
    place = Place(**PLACE)
    page = tmp_path / "page" / "index.html"
    wall, lamp = find_pictures([folder], page, [place])
    assert wall[:4] == (place, 1, "wall", "")
    assert wall[4:] == (
        *("../of%20wall%3F", (0.0, -1.0), 2.5, [image], {3: {"name": "sky"}}),
    )
    assert (lamp.note, lamp.images, lamp.colors) == ("not there", [], {})
    short = one | {"images": [image | {"after": ["a"]}]}
    for changed, why in (
        ({"settings": {}}, "it lacks 'doses'"),
        ({"settings": {"doses": []}}, "it names no dose"),
        ({"colors": {}}, "it lacks '3'"),
        ({"classes": None}, "NoneType"),
        ({"classes": [short | {"highest": 1}]}, "1 pictures and 2 counts for 2 doses"),
    ):
        (folder / "pictures.json").write_text(json.dumps(PLACE | told | changed))
        with pytest.raises(ValueError, match=rf"pictures.json is damaged \(.*{why}"):
            find_pictures([folder], page, [place])
    (folder / "pictures.json").write_text(json.dumps(PLACE | told))
    with pytest.raises(ValueError, match="shows topk k512-seed0 in layer 10, but no"):
        find_pictures([folder], page, [place._replace(layer=3)])
    with pytest.raises(ValueError, match="holds no pictures.json"):
        find_pictures([tmp_path], page, [place])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sae_families": ("tiny/layer10/topk:k8-seed0",)},
            "topk k8-seed0, and holds tiny/la",
        ),
        ({"probe_layer": 9}, "evaluated with a probe of layer 10, expected layer 9"),
        ({"doses": (0.0, -1.0, -2.0)}, "holds class_direction at dose -4 and 5 more"),
        ({"doses": (0.0, -1.0, -2.0, -4.0, -8.0)}, "lacks class_direction at dose -8"),
    ],
)
def test_other_saes_or_doses_than_the_study_has_are_refused(tmp_path, change, message):
    files = write_sae(tmp_path, "a", *plausible())
    found = read_suppression(files_of(files), ())
    check_complete(found, EXPECTED)
    with pytest.raises(ValueError, match=re.escape(message)):
        check_complete(found, replace(EXPECTED, **change))


def test_a_row_or_a_class_that_is_missing_is_named(tmp_path):
    rows, latents, changes = plausible()
    lacking = [
        one
        for one in rows
        if (one["label"], one["edit"], one["dose"]) != (2, "other_class", -1.0)
    ]
    assert len(lacking) == len(rows) - 1
    for kept, message in (
        (lacking, "label 2 of topk k512-seed0, layer 10 lacks other_class at dose -1:"),
        ([one for one in rows if one["label"] != 7], "label 7 of .* lacks latents at"),
    ):
        files = write_sae(tmp_path, "a", kept, latents, changes)
        found = read_suppression(files_of(files), ())
        with pytest.raises(ValueError, match=message):
            check_complete(found, EXPECTED)
