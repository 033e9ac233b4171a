"""The page of the segmentation study, read as a browser does."""

import json
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


def write_pictures(folder, **place):
    pictures = folder / "some pictures"
    pictures.mkdir()
    (pictures / "00001.png").write_bytes(b"")
    classes = [
        {
            **{"label": 1, "class_name": "wall", "note": ""},
            **{"picture": "00001.png", "width": 1300},
        },
        {
            **{
                "label": 7,
                "class_name": "lamp",
                "note": "not in the validation images",
            },
            **{"picture": "", "width": 0},
        },
    ]
    told = PLACE | place | {"classes": classes}
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

    VOID = ("meta", "img", "br", "wbr", "link", "path", "use", "rect")

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
    assert outside == ["some%20pictures/00001.png"]
    assert (study[0] / unquote(outside[0])).is_file()
    assert "7 lamp has no picture: not in the validation images." in text
    assert text.count("<svg") == 2
    assert len(page.ids) == len(set(page.ids))
    assert {load[1:] for load in page.loads if load.startswith("#")} <= set(page.ids)
    assert "nan" not in [cell.lower() for cell in page.cells]
    assert "0.001 ‡" in page.cells


def test_names_of_classes_are_escaped(study):
    text = write(study)
    assert "<script>" not in text
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
