"""The page of the segmentation study, read as a browser does."""

import json
import re
import runpy
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from suppression_rows import (
    EXPECTED,
    PLACE,
    compared_row,
    files_of,
    latent_row,
    means,
    plausible,
    row,
    write_probes,
    write_sae,
)

from vitproto.core.project import PROJECT

DOSE = -2.0


def stage(name):
    return runpy.run_path(str(PROJECT / f"scripts/{name}.py"))[name]


@pytest.fixture
def study(tmp_path):
    """The files of a study with a class whose name is meant to break pages."""
    names = {1: "wall", 2: "<script>alert(1)</script>", 7: "lamp", 8: "clock"}
    return tmp_path, write_sae(tmp_path, "a", *plausible(classes=names))


def write_pictures(folder, doses=(0.5, 0.0, -2.0), **place):
    pictures = folder / "some pictures"
    pictures.mkdir()
    files = ["7.jpg", "7-true.png", "7-predicted.png"]
    after = [f"7-dose{i}.png" for i in range(len(doses))]
    for name in (*files, *after):
        (pictures / name).write_bytes(b"")
    image = {
        **{"image_id": "<b>7", "n_pixels": 5000, "n_found_before": 4000},
        **{"n_found_after": [3000 - i for i in range(len(doses))], "labels": [0, 1, 2]},
        **dict(zip(("window", "true", "before"), files, strict=True)),
        **{"after": after, "width": 256, "height": 128},
        "heat": "data:image/png;base64,AAAA",
    }
    classes = [
        {"label": 1, "class_name": "wall", "note": "", "highest": 1.5}
        | {"images": [image]},
        {"label": 7, "class_name": "lamp", "note": "not in the validation images"}
        | {"highest": 0.0, "images": []},
    ]
    colors = {
        "1": {"name": "wall", "color": "#0072b2"},
        "2": {"name": "<script>alert(2)</script>", "color": "#e69f00"},
    }
    told = PLACE | place | {"classes": classes, "colors": colors}
    told |= {"settings": {"doses": doses}}
    (pictures / "pictures.json").write_text(json.dumps(told))
    return pictures


def write(study, out="index.html", pictures=(), expected=EXPECTED, rows=None):
    folder, files = study
    rows = means() if rows is None else rows
    compared = [compared_row(), compared_row(at="half")]
    inputs = files_of(files, means=rows, compared=compared)
    charts = [folder / name for name in ("d.png", "d.svg", "c.png", "c.svg")]
    stage("plot_suppression")(inputs, *charts, dose=DOSE, expected=expected)
    stage("write_suppression_page")(
        inputs,
        *write_probes(folder),
        *(charts[1], charts[3], pictures, folder / out),
        dataset="ade20k",
        dose=DOSE,
        expected=expected,
    )
    return (folder / out).read_text()


class Page(HTMLParser):
    """Ids, what is loaded, headings, cells of tables, and tags left open."""

    VOID = ("meta", "img", "br", "wbr", "link", "path", "use", "rect", "input")

    def __init__(self, text):
        super().__init__()
        self.ids, self.loads, self.headings, self.cells = [], [], [], []
        self._open = []
        self.feed(text)
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        for name in ("src", "href", "xlink:href"):
            self.loads += [values[name]] if name in values else []
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if self._open and self._open[-1] == "td":
            self.cells.append(data)


def test_the_page_holds_everything_and_loads_only_its_pictures(study):
    text = write(study, pictures=(write_pictures(study[0]),))
    page = Page(text)
    assert page.headings == [
        "Do a class's latents matter more to it than other edits? ade20k",
        "Trained and untrained SAEs",
        "All edits, at equal length",
        "All edits, where the class has lost half of its IoU",
        "Class by class: latents set to −2 times their largest observed value",
        "What the columns mean",
        "Linear probes",
    ]
    outside = [load for load in page.loads if not load.startswith("#")]
    outside = [load for load in outside if not load.startswith("data:")]
    names = ["7.jpg", "7-true.png", "7-predicted.png"]
    names += [*(f"7-dose{i}.png" for i in range(3)), "7.jpg"]
    assert outside == [f"some%20pictures/{name}" for name in names]
    assert all((study[0] / unquote(load)).is_file() for load in outside)
    assert text.count('width="256" height="128"') == 8
    assert "7 lamp has no picture: not in the validation images." in text
    assert text.count("<svg") == 2
    assert len(page.ids) == len(set(page.ids))
    assert {load[1:] for load in page.loads if load.startswith("#")} <= set(page.ids)
    assert "nan" not in [cell.lower() for cell in page.cells]
    assert "0.001 ‡" in page.cells


def write_with_losses(folder, losses):
    """The page of a study whose first class loses so much by dose."""
    rows, *others = plausible()
    for each in rows:
        if each["label"] == 1 and each["edit"] == "latents":
            each["loss"] = losses.get(each["dose"], each["loss"])
    folder.mkdir()
    pictures = write_pictures(folder, doses=(-2.0, 0.0, -1.0))
    return write((folder, write_sae(folder, "a", rows, *others)), pictures=(pictures,))


@pytest.mark.parametrize(
    ("losses", "first", "said"),
    [
        # Doses stand in the order 0, -1, -2; their pictures have the numbers 1, 2, 0.
        ({0.0: 0.2, -1.0: 0.55, -2.0: 0.9}, 1, "The class loses 55.0 %"),
        ({0.0: 0.6, -1.0: 0.7, -2.0: 0.9}, 0, "The class loses 60.0 %"),
        # It never loses half: the dose of the tables.
        ({0.0: -0.05, -1.0: 0.1, -2.0: 0.3}, 2, "The class loses 30.0 %"),
    ],
)
def test_pictures_start_where_the_class_has_lost_half_of_its_iou(
    tmp_path, losses, first, said
):
    text = write_with_losses(tmp_path / "a", losses)
    section = text[text.index('<section class="shown"') : text.index("</section>")]
    slider = re.search(r'<input type="range" min="0" max="(\d)" value="(\d)"', section)
    assert slider.groups() == ("2", str(first))
    files = re.findall(
        r'src="[^"]*/(7-dose\d.png)"[^>]*data-dose="(\d)"( hidden)?', section
    )
    assert files == [
        (f"7-dose{i}.png", str(place), "" if place == first else " hidden")
        for place, i in enumerate((1, 2, 0))
    ]
    texts = re.findall(r'<span data-dose="(\d)"( hidden)?>(.*?)</span>', section)
    shown = [text for _, hidden, text in texts if not hidden]
    assert said in shown[0]
    assert shown[1] == f"{3000 - (1, 2, 0)[first]:,}"
    if losses[0.0] < 0:
        assert "The class gains 5.0 % of its IoU" in section


def test_names_of_classes_are_escaped(study):
    text = write(study, pictures=(write_pictures(study[0]),))
    assert text.count("<script>") == 1  # that of the sliders
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_the_page_is_the_same_each_time(study):
    assert write(study, "a.html") == write(study, "b.html")


def test_pictures_of_another_sae_are_refused(study):
    pictures = write_pictures(study[0], run="k8-seed3")
    with pytest.raises(ValueError, match="shows topk k8-seed3 in layer 10, but no"):
        write(study, pictures=(pictures,))


def test_a_study_in_which_nothing_could_be_judged_has_a_page(tmp_path):
    rows = [row(1, "latents", DOSE, note="no latents are chosen")]
    files = write_sae(tmp_path, "a", rows, [latent_row(1, "", note="none")])
    text = write((tmp_path, files), expected=replace(EXPECTED, doses=(DOSE,)), rows=())
    assert "No conclusion: no class could be compared" in text
    assert "1 of 1 classes could not be judged" in text


def test_a_chart_that_is_none_is_refused(study):
    folder, files = study
    (folder / "d.svg").write_text("what")
    with pytest.raises(ValueError, match="the chart of curves is not an SVG document"):
        stage("write_suppression_page")(
            files_of(files),
            *write_probes(folder),
            *(folder / "d.svg", folder / "d.svg", (), folder / "index.html"),
            dataset="ade20k",
            dose=DOSE,
            expected=EXPECTED,
        )
