"""The stage, on images with painted squares: what is painted is found and shown."""

import base64
import dataclasses
import io
import json
import re
import runpy

import numpy as np
import pytest
import torch
from PIL import Image
from recorded import LAYER, TOY, with_threads, write_shards

from vitproto.activations.preprocessing import Preprocessing
from vitproto.core.project import PROJECT
from vitproto.features.choice import Choice
from vitproto.features.page import Place
from vitproto.prototypes import checkpoint
from vitproto.prototypes.scorer import CentredDotProduct
from vitproto.report.traits.prototype_roles import RoleFiles
from vitproto.study.run import Run

show_features = runpy.run_path(str(PROJECT / "scripts/show_features.py"))[
    "show_features"
]

PREPROCESSING = Preprocessing(
    64, 64, "shortest", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
)
CFG = Choice(
    log_freq_range=(-3.0, -1.0),
    log_value_range=(-2.0, 0.0),
    n_in_range=5,
    listed=(3,),
    n_sampled=0,
    seed=0,
)
N_IMAGES = 30
SIZE = (96, 64)
"""Width and height of images; the encoder sees the middle 64 × 64 pixels."""


def squares():
    """Which images hold a square of which colour, in which patch (row, column)."""
    return {
        4: ("red", (2, 1), 1.0),
        21: ("red", (0, 3), 0.8),
        9: ("blue", (3, 0), 1.0),
        17: ("blue", (1, 1), 0.7),
        2: ("blue", (1, 2), 0.4),
    }


@pytest.fixture
def study(tmp_path):
    """A data set with its activations, the mean colours of patches, and a run."""
    root, lines, x_NPD = tmp_path / "data", ["image_id,path"], []
    (root / "images").mkdir(parents=True)
    for i in range(N_IMAGES):
        pixels_HWC = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        if i in squares():
            color, (row, column), strength = squares()[i]
            y, x = 16 * row, 16 + 16 * column
            channel = {"red": 0, "blue": 2}[color]
            pixels_HWC[y : y + 16, x : x + 16, channel] = round(255 * strength)
        image = Image.fromarray(pixels_HWC)
        path = f"images/<i>{i}.png"
        image.save(root / path)
        lines.append(f"image{i},{path}")
        window = np.asarray(PREPROCESSING.apply(image), np.float32) / 255
        x_NPD.append(window.reshape(4, 16, 4, 16, 3).mean((1, 3)).reshape(16, 3))
    (tmp_path / "images.csv").write_text("\n".join(lines) + "\n")
    # Redness, blueness, greenness (dead) and darkness of what is above a threshold.
    scorer = CentredDotProduct(
        torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0], [-1.0, 0, -1.0]]),
        torch.full((3,), 0.2),
    )
    run = Run(4, 0)
    file = tmp_path / "k4-seed0.safetensors"
    checkpoint.save(file, scorer, {})
    checkpoint.write_manifest(tmp_path / "checkpoints.json", {run: file}, TOY)
    return tmp_path, np.stack(x_NPD)


def show(study, out="out", *, n_shards=1, run="k4-seed0", n_images=2, cfg=CFG):
    folder, x_NPD = study
    shards = write_shards(
        folder,
        x_NPD,
        n_shards,
        preprocessing=json.dumps(dataclasses.asdict(PREPROCESSING)),
    )
    place = Place("birds", "tiny", LAYER, "toy", run, fit_dataset="corpus")
    show_features(
        folder / "data",
        folder / "images.csv",
        shards[::-1],
        folder / "checkpoints.json",
        RoleFiles((), (), (), ()),
        folder / out,
        n_images=n_images,
        device="cpu",
        home=folder,
        runs=(),
        place=place,
        cfg=cfg,
    )
    return folder / out


def test_painted_squares_are_found_with_the_images_and_patches_that_hold_them(study):
    out = show(study)
    told = json.loads((out / "features.json").read_text())
    shown = {feature["prototype"]: feature for feature in told["prototypes"]}
    # 2 of 480 patches are red and 3 are blue: log10 frequency -2.4 and -2.2.
    assert {k: feature["reasons"] for k, feature in shown.items()} == {
        0: ["in_range"],
        1: ["in_range"],
        3: ["listed"],
    }
    assert shown[0]["frequency"] == 2 / 480
    assert shown[1]["frequency"] == 3 / 480
    assert shown[0]["mean_value"] == pytest.approx((0.8 + 0.6) / 2, abs=1e-5)
    assert told["n_in_range"] == 2
    assert told["n_alive"] == 3
    for prototype, i_images in ((0, [4, 21]), (1, [9, 17])):
        images = shown[prototype]["images"]
        assert [image["image_id"] for image in images] == [
            f"image{i}" for i in i_images
        ]
        for i, image in zip(i_images, images, strict=True):
            scores_HW = np.array(image["patch_scores"])
            hottest = np.unravel_index(scores_HW.argmax(), scores_HW.shape)
            assert hottest == squares()[i][1]
            assert image["score"] == scores_HW.max()


def heat_maps(page):
    """Thumbnail, place in percent and opacity of each heat-map, by prototype."""
    found = {}
    for section in re.findall(r'<section id="p.*?</section>', page, re.DOTALL):
        prototype = int(re.search(r"p(\d+)", section)[1])
        found[prototype] = [
            (
                name,
                place,
                np.asarray(
                    Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
                )[:, :, 3],
            )
            for name, data, *place in re.findall(
                r'src="(images/\d+\.jpg)".*?class="heat" '
                r'src="data:image/png;base64,([^"]+)".*?style="left:([\d.]+)%;'
                r'top:([\d.]+)%;width:([\d.]+)%;height:([\d.]+)%"',
                section,
                re.DOTALL,
            )
        ]
    return found


def test_the_heat_lies_over_the_painted_square(study):
    out = show(study)
    maps = heat_maps((out / "index.html").read_text())
    for prototype, i_images in ((0, [4, 21]), (1, [9, 17])):
        shown = maps[prototype][:2]
        assert [name for name, *_ in shown] == [f"images/{i:06d}.jpg" for i in i_images]
        for i, (name, place, alpha_HW) in zip(i_images, shown, strict=True):
            # The window is the middle 64 of 96 pixels.
            assert place == ["16.67", "0.00", "66.67", "100.00"]
            hottest = np.unravel_index(alpha_HW.argmax(), alpha_HW.shape)
            assert hottest == squares()[i][1]
            assert (alpha_HW > 0).sum() == 1
            with Image.open(out / name) as thumbnail:
                assert thumbnail.size == SIZE


def test_of_scores_with_both_signs_the_lowest_are_shown_too(study):
    out = show(study, n_images=3)
    told = json.loads((out / "features.json").read_text())
    shown = {feature["prototype"]: feature for feature in told["prototypes"]}
    # Prototype 3 is darkness: the brightest squares score lowest, each once.
    lowest = shown[3]["lowest"]
    assert [image["image_id"] for image in lowest] == ["image4", "image9", "image21"]
    assert [image["score"] for image in lowest] == pytest.approx(
        [-0.6, -0.6, -0.4], abs=1e-5
    )
    page = (out / "index.html").read_text()
    assert "Lowest scores; heat-maps go from 0 to −0.6" in page
    section = heat_maps(page)[3]
    name, _, alpha_HW = section[-3]
    assert name == "images/000004.jpg"
    assert np.unravel_index(alpha_HW.argmax(), alpha_HW.shape) == squares()[4][1]
    # Black patches score 0 - 0.2 < 0 for redness: first images in the list.
    assert shown[0]["lowest"][0]["image_id"] == "image0"


def test_the_page_names_each_prototype_and_escapes_what_users_wrote(study):
    out = show(study)
    page = (out / "index.html").read_text()
    for prototype in (0, 1, 3):
        assert f"<h2>Prototype {prototype}</h2>" in page
    for maps in heat_maps(page).values():
        assert all((out / name).is_file() for name, *_ in maps)
    assert "images/&lt;i&gt;4.png" in page
    assert "<i>" not in page
    assert "2 prototypes have a log10 frequency from −3 to −1" in page
    assert "http" not in page


def test_shards_and_cores_change_no_byte(study):
    one = show(study, "one")
    five = with_threads(3, lambda: show(study, "five", n_shards=5))
    assert {path.name for path in one.iterdir()} == {
        *("images", "index.html", "features.json")
    }
    written = [path for path in one.rglob("*") if path.is_file()]
    assert len(written) > 5
    for path in written:
        assert (five / path.relative_to(one)).read_bytes() == path.read_bytes()


def test_where_nothing_is_in_the_ranges_the_page_says_so(study):
    cfg = dataclasses.replace(CFG, log_freq_range=(-9.0, -8.0), listed=())
    page = (show(study, cfg=cfg) / "index.html").read_text()
    assert "No prototype has a log10 frequency from −9 to −8" in page
    assert "the log10 frequency goes from −2.38 to 0.00" in page
    assert "Nothing is shown. Widen" in page


def test_a_dead_prototype_that_is_listed_has_no_images(study):
    cfg = dataclasses.replace(CFG, listed=(2,), n_in_range=0)
    out = show(study, cfg=cfg)
    assert (
        "It is dead: all patches of birds have the same score."
        in (out / "index.html").read_text()
    )
    assert not list((out / "images").iterdir())


def test_a_missing_image_is_named_and_nothing_is_left(study):
    folder, _ = study
    (folder / "data/images/<i>21.png").unlink()
    with pytest.raises(ValueError, match=r"images/<i>21\.png: put it back"):
        show(study)
    assert not [path for path in folder.iterdir() if "out" in path.name]


def test_images_listed_in_another_order_are_refused(study):
    folder, _ = study
    header, first, second, *rest = (folder / "images.csv").read_text().splitlines()
    (folder / "images.csv").write_text("\n".join([header, second, first, *rest]))
    with pytest.raises(ValueError, match="order their images differently"):
        show(study)


def test_a_run_that_the_family_does_not_have_is_refused(study):
    with pytest.raises(ValueError, match="lists no run k8-seed0: write one of k4-seed"):
        show(study, run="k8-seed0")


def test_prototypes_of_another_preprocessing_are_refused(study):
    folder, _ = study
    file = folder / "k4-seed0.safetensors"
    squashed = dataclasses.replace(PREPROCESSING, resize_mode="squash")
    fitted_to = {"preprocessing": json.dumps(dataclasses.asdict(squashed))}
    settings = {"fitted_to": fitted_to, "layer": LAYER}
    checkpoint.save(file, checkpoint.load(file), settings)
    checkpoint.write_manifest(folder / "checkpoints.json", {Run(4, 0): file}, TOY)
    with pytest.raises(ValueError, match="resize_mode squash, but .* resize_mode shor"):
        show(study)
    assert not (folder / "out").exists()


def test_prototypes_of_another_family_are_refused(study):
    folder, _ = study
    manifest = folder / "checkpoints.json"
    manifest.write_text(manifest.read_text().replace('"toy"', '"pca"'))
    with pytest.raises(ValueError, match="it says method pca, expected method toy"):
        show(study)
