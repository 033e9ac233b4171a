"""The stage, on images with painted squares: a page per trait shows what is painted."""

import base64
import dataclasses
import io
import json
import re
import runpy
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from recorded import LAYER, TOY, with_threads, write_shards
from statistics_rows import CEILING, statistics_of, trait_intervals_of

from vitproto.activations.preprocessing import Preprocessing
from vitproto.core.project import PROJECT
from vitproto.data.image_list import read_splits, write_image_list, write_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.features.choice import Choice
from vitproto.features.page import Place as FeaturesPlace
from vitproto.prototypes import checkpoint
from vitproto.prototypes.scorer import DotProduct
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.traits.answer import Place
from vitproto.report.traits.ap_table import read_rows
from vitproto.report.traits.map_table import tabulate_configurations, write_map_csv
from vitproto.report.traits.pages.finders import FamilyFiles
from vitproto.report.traits.pages.trait_facts import LayerFiles
from vitproto.report.traits.pages.trait_page import describe_classes
from vitproto.report.traits.prototype_roles import RoleFiles
from vitproto.study.family import FittedFamily, ScoredFamily
from vitproto.study.run import Run

PREPROCESSING = Preprocessing(
    64, 64, "shortest", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
)
N_IMAGES, N_SHOWN = 60, 4
SIZE = (96, 64)
"""Width and height of images; the encoder sees the middle 64 × 64 pixels."""
RED, BLUE, RARE, UNSEEN = "red/wing", "blue_wing::<b>", "rare", "unseen"
TRAITS = [RED, BLUE, RARE, UNSEEN]
METHODS = {"good": [[1.0, 0, 0], [0, 0, 1.0]], "poor": [[-1.0, 0, 0], [0, 1.0, 0]]}


def _stage(name):
    return runpy.run_path(str(PROJECT / "scripts" / f"{name}.py"))[name]


class Study:
    """All files of a study with two methods in one layer."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.folder, self.root = folder, folder / "data"
        (self.root / "a b").mkdir(parents=True)
        self.shows_NT = np.zeros((N_IMAGES, len(TRAITS)), bool)
        self.shows_NT[:, 0] = np.arange(N_IMAGES) % 5 == 0
        self.shows_NT[:, 1] = np.arange(N_IMAGES) % 7 == 0
        self.shows_NT[[2, 4], 2] = True  # training images only
        self.shows_NT[[3, 5], 3] = True  # test images only
        self.known_NT = np.ones_like(self.shows_NT)
        self.known_NT[[11, 13], 0] = False
        self.is_test_N = np.arange(N_IMAGES) % 2 == 1
        self.patch_N = rng.integers(16, size=N_IMAGES)
        x_NPD, rows = [], []
        for i in range(N_IMAGES):
            pixels_HWC = rng.integers(0, 60, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
            row, column = divmod(self.patch_N[i], 4)
            y, x = 16 * row, 16 + 16 * column
            for t, channel in ((0, 0), (1, 2)):
                if self.shows_NT[i, t]:
                    pixels_HWC[y : y + 16, x : x + 16, channel] = 180 + i
            image = Image.fromarray(pixels_HWC)
            path = f"a b/<i>{i}.png"
            image.save(self.root / path)
            split = "test" if self.is_test_N[i] else "train"
            name = "<script>alert(1)</script>" if i % 2 else f"species {i % 3}"
            rows.append((f"image{i}", path, split, name))
            window = np.asarray(PREPROCESSING.apply(image), np.float32) / 255
            means = window.reshape(4, 16, 4, 16, 3).mean((1, 3))
            x_NPD.append(means.reshape(16, 3))
        self.x_NPD = np.stack(x_NPD)
        columns = ["image_id", "path", "split", "class_name"]
        listed = pd.DataFrame(rows, columns=columns, dtype="str")
        write_image_list(listed, folder / "images.csv")
        write_splits(listed, folder / "splits.csv")
        ids = listed["image_id"].tolist()
        TraitLabels(ids, TRAITS, self.shows_NT, self.known_NT).save(
            folder / "traits.npz"
        )
        shards = self.record(1)
        for method, directions in METHODS.items():
            self._run_family(method, torch.tensor(directions), shards)
        self.families = FamilyFiles(
            *(
                tuple(folder / method / name for method in METHODS)
                for name in ("ap.csv", "chosen_scores.h5", "checkpoints.json")
            ),
            ("corpus", "corpus"),
        )
        self.ap = read_rows(self.families.ap, None)
        ceiling = self._write_ceiling()
        table = tabulate_configurations(self.ap, statistics_of(self.ap), ceiling)
        write_map_csv(table, folder / "map_table.csv")
        trait_intervals_of(self.ap).to_csv(folder / "single.csv", index=False)

    def record(self, n_shards):
        return write_shards(
            self.folder,
            self.x_NPD,
            n_shards,
            preprocessing=json.dumps(dataclasses.asdict(PREPROCESSING)),
        )

    def _run_family(self, method, directions_KD, shards):
        folder, run = self.folder / method, Run(2, 0)
        folder.mkdir()
        file = folder / "k2-seed0.safetensors"
        checkpoint.save(file, DotProduct(directions_KD), {})
        family = dataclasses.replace(TOY, method=method)
        checkpoint.write_manifest(folder / "checkpoints.json", {run: file}, family)
        named = {"runs": (run.name,), "family": family}
        _stage("score_images")(
            *(shards, folder / "checkpoints.json", folder / "scores.h5"),
            **named,
            dataset="birds",
            device="cpu",
        )
        scored = {**dataclasses.asdict(family), "dataset": "birds"}
        _stage("select_prototypes")(
            *(folder / "scores.h5", self.folder / "splits.csv"),
            *(self.folder / "traits.npz", folder / "ap.csv"),
            folder / "chosen_scores.h5",
            n_train=(20, "all"),
            selection_seeds=(0,),
            study="small",
            runs=named["runs"],
            family=ScoredFamily(**scored),
        )

    def _write_ceiling(self):
        rows = self.ap[self.ap["method"] == "good"]
        same = {"selection_seed": 0, "regularisation": 1.0, "cv_ap": 0.5}
        columns = ["study", "dataset", "encoder", "layer", "n_train", "trait"]
        tables = [
            rows[[*columns, "prevalence"]].assign(
                **same,
                pooling=pooling,
                train_ap=0.9,
                test_ap=np.where(rows["prevalence"] > 0, value, np.nan),
            )
            for pooling, value in CEILING.items()
        ]
        table = pd.concat(tables)
        table.to_csv(self.folder / "ceiling.csv", index=False)
        highest = {"ceiling": 0.7, "pooling": "max"}
        places = rows[["encoder", "layer", "n_train"]].drop_duplicates()
        return places.assign(**highest)

    def show(self, out="pages", *, shards=None, **changes):
        folder = self.folder
        named = {
            "root": self.root,
            "images": folder / "images.csv",
            "splits": folder / "splits.csv",
            "traits": folder / "traits.npz",
            "shards": (shards or self.record(1))[::-1],
            "layer": LayerFiles(
                *(folder / f"{name}.csv" for name in ("map_table", "single", "ceiling"))
            ),
            "families": self.families,
            "trait_pages": folder / out,
            "dataset": "birds",
            "place": Place("tiny", LAYER),
            "looks": StudyMethods(("good", "poor"), ("poor",), ("poor",)),
            "n_images": N_SHOWN,
        }
        _stage("show_traits")(**named | changes)
        return folder / out


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def pages(study):
    return study.show()


class Links(HTMLParser):
    """What a page links to and loads, and its tags."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for name, v in attrs if name in ("href", "src")]


def page_of(pages, trait):
    name = json.loads((pages / "pages.json").read_text())[trait]
    return (pages / name).read_text()


def test_every_trait_has_a_page_and_every_link_leads_to_a_file(study, pages):
    files = json.loads((pages / "pages.json").read_text())
    assert list(files) == TRAITS
    assert files[RED] == "000-red-wing.html"
    for name in ["index.html", *files.values()]:
        links = Links((pages / name).read_text()).addresses
        assert links
        inside = [link for link in links if not link.startswith(("data:", ".."))]
        for link in inside:
            assert (pages / link).is_file(), link
        assert {x for x in links if x.startswith("..")} == {"../index.html"}
    assert set(files.values()) <= set(
        Links((pages / "index.html").read_text()).addresses
    )


def test_shown_images_are_those_that_a_slow_loop_finds(study, pages):
    shown = pd.read_csv(pages / "shown_images.csv")
    scores = {
        method: (study.x_NPD @ np.array(rows, np.float32).T).max(1)
        for method, rows in METHODS.items()
    }
    assert shown.groupby(["method", "trait"]).ngroups == 4  # two traits can be shown
    for (method, trait, strip), rows in shown.groupby(["method", "trait", "strip"]):
        t = TRAITS.index(trait)
        score_N = scores[method][:, rows["prototype"].iloc[0]]
        ranked = np.flatnonzero(study.is_test_N & study.known_NT[:, t])
        wanted = {
            "highest": ranked,
            "mistaken": ranked[~study.shows_NT[ranked, t]],
            "missed": ranked[study.shows_NT[ranked, t]],
        }[strip]
        order = sorted(wanted, key=lambda i: score_N[i], reverse=strip != "missed")
        assert rows["image_id"].tolist() == [f"image{i}" for i in order[:N_SHOWN]]
        np.testing.assert_allclose(rows["score"], score_N[order[:N_SHOWN]], rtol=1e-5)
        assert rows["shows"].tolist() == study.shows_NT[order[:N_SHOWN], t].tolist()
    good = shown[(shown["method"] == "good") & (shown["strip"] == "highest")]
    assert good["shows"].all()
    assert good.groupby("trait")["prototype"].unique().to_dict() == {RED: 0, BLUE: 1}


def test_heat_maps_are_brightest_where_the_square_is_and_lie_on_the_window(
    study, pages
):
    text = page_of(pages, RED)
    section = text[text.index("good: prototype 0") :]
    figures = re.findall(
        r'src="images/(\d+)\.jpg".*?class="heat" src="data:image/png;base64,([^"]+)"'
        r'.*?style="left:([\d.]+)%;top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%"',
        section,
        re.DOTALL,
    )[:N_SHOWN]
    assert len(figures) == N_SHOWN
    for number, data, *place in figures:
        # The window is the middle 64 of 96 pixels.
        assert place == ["16.67", "0.00", "66.67", "100.00"]
        heat = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
        assert heat.size == (4, 4)
        alpha_P = np.asarray(heat)[:, :, 3].ravel()
        assert alpha_P.argmax() == study.patch_N[int(number)]
        assert (alpha_P > alpha_P.max() / 2).sum() == 1


def test_pages_count_images_and_say_how_many_of_the_best_show_the_trait(study, pages):
    text = page_of(pages, RED)
    # 12 images show it, 6 in each split; of images 11 and 13 it is not known.
    assert "6 of 30 (20.0 %) training images and 6 of 28 (21.4 %) test images" in text
    assert "Of 2 more test images that is not known; they count nowhere." in text
    # 4 of 4 are right; of 4 at random 4 × 6 / 28 = 0.9 would.
    sentence = (
        "AP 1.000 on the test images, 1.000 on the training images that chose it from "
        "2 prototypes of k2-seed0. 4 of the 4 test images with the highest scores "
        "show the trait; of 4 drawn at random, 0.9 would."
    )
    assert sentence in text
    wrong = text[text.index("poor [control]: prototype") :]
    assert "4 of the 4 test images" not in wrong
    assert "1.000 [0.990, 1.010]" in text
    assert "0.700" in text  # the probe


def test_panels_name_the_classes_that_score_highest_and_other_traits(study, pages):
    shown = pd.read_csv(pages / "shown_images.csv")
    of_poor = shown[shown["method"] == "poor"].groupby("trait")["prototype"].first()
    text = page_of(pages, RED)
    if of_poor[RED] == of_poor[BLUE]:
        assert "The same prototype was chosen for 1 other trait" in text
    good = text[text.index("good: prototype") : text.index("poor [control]")]
    assert "The same prototype" not in good
    # All test images are of one class, so there is none to name.
    assert "Classes whose" not in text


def test_classes_are_ranked_by_their_mean_score_and_count_images_with_the_trait():
    text = describe_classes(
        np.array([1.0, 3.0, 5.0, 0.0]),
        np.array([True, False, True, False]),
        ["owl", "owl", "crow", "swan"],
    )
    assert text.endswith(
        "trait: crow (5; 1 of 1), owl (2; 1 of 2) and swan (0; 0 of 1)."
    )


def test_traits_that_cannot_be_tested_or_chosen_say_so(pages):
    rare, unseen = page_of(pages, RARE), page_of(pages, UNSEEN)
    assert "No test image shows this trait" in rare
    assert "prototype 0" not in rare
    assert "no prototype could be chosen by good, poor." in unseen
    assert "No test image" not in unseen
    assert "<td>" not in unseen  # not even chance, which looks like a result
    assert "<svg" not in rare
    assert "<svg" not in unseen


def test_picked_traits_are_noted_with_the_images_of_their_pages(study, pages):
    noted = json.loads((pages / "highlights.json").read_text())
    assert noted["place"] == f"tiny, layer {LAYER}"
    assert noted["n_traits"] == 2  # the others cannot be tested, or not chosen
    picked = {one["trait"]: one for one in noted["highlights"]}
    assert noted["highlights"][0]["heading"] == "Found best by good"
    shown = pd.read_csv(pages / "shown_images.csv")
    files = json.loads((pages / "pages.json").read_text())
    for trait, one in picked.items():
        assert one["page"] == files[trait]
        rows = shown[(shown["trait"] == trait) & (shown["method"] == one["method"])]
        highest = rows[rows["strip"] == "highest"]
        assert [image["image_id"] for image in one["images"]] == list(
            highest["image_id"]
        )
        assert [image["shows"] for image in one["images"]] == list(highest["shows"])
        for image in one["images"]:
            assert (pages / "images" / image["thumbnail"]["name"]).is_file()
            assert image["overlay"]["source"].startswith("data:image/png")
    assert "AP: good 1.000 [0.990, 1.010]; chance" in picked[RED]["text"]
    assert "a supervised probe 0.700." in picked[RED]["text"]


def show_prototypes(study, out, **changes):
    """The page of both prototypes of the method that finds the traits."""
    folder, (method, *_) = study.folder, METHODS
    family = folder / method
    named = {
        "root": study.root,
        "images": folder / "images.csv",
        "shards": study.record(1),
        "checkpoints": family / "checkpoints.json",
        "roles": RoleFiles(
            *((folder / "splits.csv",), (folder / "traits.npz",)),
            *((family / "scores.h5",), (family / "ap.csv",)),
        ),
        "features": folder / out,
        "n_images": 2,
        "device": "cpu",
        "home": folder,
        "runs": ("k2-seed0",),
        "place": FeaturesPlace("birds", "tiny", LAYER, method, "k2-seed0", "corpus"),
        "cfg": Choice((-9.0, 0.0), (-9.0, 9.0), 0, (0, 1), 0, 0),
    }
    _stage("show_features")(**named | changes)
    return folder / out


def test_a_prototype_names_the_traits_it_was_chosen_for_and_the_classes(study):
    out = show_prototypes(study, "a b/features")
    told = json.loads((out / "features.json").read_text())
    roles = [feature["role"] for feature in told["prototypes"]]
    ap = pd.read_csv(study.folder / "good/ap.csv")
    ap = ap[ap["n_train"] == ap["n_train"].max()]
    for k, role in enumerate(roles):
        own = ap[ap["prototype"] == k].set_index("trait")["test_ap"]
        assert {one["trait"] for one in role["traits"]} == set(own.index)
        for one in role["traits"]:
            assert one["n_train"] == 30
            assert one["test_ap"] == pytest.approx(own[one["trait"]], nan_ok=True) or (
                one["test_ap"] is None and np.isnan(own[one["trait"]])
            )
    assert RED in [one["trait"] for one in roles[0]["traits"]]
    assert BLUE in [one["trait"] for one in roles[1]["traits"]]
    # Redness is the highest mean of the red channel over the patches of an image.
    red_N = study.x_NPD[:, :, 0].max(1)
    names = read_splits(study.folder / "splits.csv")["class_name"]
    slow = pd.Series(red_N).groupby(names.to_numpy()).mean()
    rates = {one["class_name"]: one for one in roles[0]["classes"]}
    assert {name: one["mean_score"] for name, one in rates.items()} == pytest.approx(
        slow.to_dict()
    )
    assert [one["n_images"] for one in rates.values()] == [
        int((names == name).sum()) for name in rates
    ]
    assert list(rates) == list(slow.sort_values(ascending=False).index)
    text = (out / "index.html").read_text()
    links = [a for a in Links(text).addresses if not a.startswith(("data:", "#"))]
    assert "../../traits/000-red-wing.html" in links
    assert "../../index.html" in links
    assert "script" not in Links(text).tags


def test_files_of_a_study_of_traits_come_together_or_not_at_all(study):
    roles = RoleFiles((study.folder / "splits.csv",), (), (), ())
    with pytest.raises(ValueError, match="1, 0, 0, 0 files of splits, traits, scores"):
        show_prototypes(study, "some", roles=roles)
    place = FeaturesPlace("birds", "tiny", LAYER, "poor", "k2-seed0", "corpus")
    checkpoints = study.folder / "poor/checkpoints.json"
    with pytest.raises(ValueError, match=r"scores\.h5.* method good, expected .*poor"):
        show_prototypes(study, "some", place=place, checkpoints=checkpoints)
    assert not (study.folder / "some").exists()


def test_names_are_text(pages):
    for trait in TRAITS:
        text = page_of(pages, trait)
        assert "script" not in Links(text).tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page_of(pages, RED)
    assert "blue_wing::&lt;b&gt;" in page_of(pages, BLUE)
    assert "b" not in Links((pages / "index.html").read_text()).tags


def test_shards_and_threads_change_no_byte(study, pages):
    shards = study.record(3)
    again = with_threads(3, lambda: study.show("again", shards=shards))
    study.record(1)
    names = sorted(p.relative_to(pages) for p in pages.rglob("*") if p.is_file())
    assert names == sorted(
        p.relative_to(again) for p in again.rglob("*") if p.is_file()
    )
    for name in names:
        assert (pages / name).read_bytes() == (again / name).read_bytes(), name


def test_scores_of_another_checkpoint_are_refused(study):
    other = study.folder / "other.safetensors"
    checkpoint.save(other, DotProduct(torch.eye(3)[:2]), {})
    listed = study.folder / "other.json"
    family = FittedFamily("corpus", "tiny", LAYER, "good")
    checkpoint.write_manifest(listed, {Run(2, 0): other}, family)
    checkpoints = (listed, study.families.checkpoints[1])
    changed = dataclasses.replace(study.families, checkpoints=checkpoints)
    with pytest.raises(ValueError, match="scores of another checkpoint of k2-seed0"):
        study.show("refused", families=changed)
    assert not (study.folder / "refused").exists()


def test_a_missing_family_and_files_of_another_layer_are_refused(study):
    one = FamilyFiles(*(values[:1] for values in dataclasses.astuple(study.families)))
    with pytest.raises(ValueError, match="holds the method poor, but no ap.csv"):
        study.show("refused", families=one)
    other = study.folder / "other.csv"
    rows = trait_intervals_of(study.ap).assign(layer=9)
    rows.to_csv(other, index=False)
    expected = f"is about layer 9 of tiny, expected layer {LAYER} of tiny"
    files = (study.folder / "map_table.csv", other, study.folder / "ceiling.csv")
    with pytest.raises(ValueError, match=expected):
        study.show("refused", layer=LayerFiles(*files))
