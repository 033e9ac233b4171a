import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitproto.demo import write_scenes
from vitproto.demo.birds.bird import draw_individual
from vitproto.demo.birds.painting import Region
from vitproto.demo.birds.traits import PALETTE, species_of
from vitproto.demo.write_scenes import (
    CLASSES,
    DemoScenes,
    class_labels,
    write_demo_scenes,
)

SMALL = DemoScenes(n_species=4, n_training=6, n_validation=3, image_size=96, seed=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "scenes"
    write_demo_scenes(out, SMALL, n_workers=1)
    return out / "ADEChallengeData2016"


def digests(folder: Path) -> list[tuple[str, str]]:
    return [
        (str(file.relative_to(folder)), hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def test_files_are_named_and_placed_as_in_ade20k(root):
    names = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}
    expected = {"objectInfo.txt", "sceneCategories.txt"}
    for split, short, n in (("training", "train", 6), ("validation", "val", 3)):
        for i in range(1, n + 1):
            expected.add(f"images/{split}/ADE_{short}_{i:08d}.jpg")
            expected.add(f"annotations/{split}/ADE_{short}_{i:08d}.png")
    assert names == expected


def test_every_mask_has_the_size_of_its_picture_and_known_labels(root):
    seen = set()
    for mask in root.glob("annotations/*/*.png"):
        with Image.open(mask) as image:
            assert image.mode == "L"
            labels_HW = np.asarray(image)
        picture = root / "images" / mask.parent.name / f"{mask.stem}.jpg"
        with Image.open(picture) as image:
            assert image.size == labels_HW.shape[::-1]
        seen |= set(np.unique(labels_HW).tolist())
    assert seen <= set(range(len(CLASSES) + 1))
    head = list(CLASSES).index("head") + 1
    assert {head, head + 1, head + 2} <= seen  # Head, bill and eye.


def test_the_list_of_classes_counts_what_the_masks_show(root):
    text = (root / "objectInfo.txt").read_text().splitlines()
    header, *rows = [line.split("\t") for line in text]
    assert header == ["Idx", "Ratio", "Train", "Val", "Stuff", "Name"]
    assert [row[5] for row in rows] == list(CLASSES)
    assert sum(float(row[1]) for row in rows) == pytest.approx(1, abs=1e-3)
    masks = {
        split: [
            np.asarray(Image.open(file))
            for file in sorted((root / "annotations" / split).iterdir())
        ]
        for split in ("training", "validation")
    }
    for idx, _, n_train, n_val, _, _ in rows:
        shown = {s: sum((m == int(idx)).any() for m in ms) for s, ms in masks.items()}
        assert (shown["training"], shown["validation"]) == (int(n_train), int(n_val))


def test_scene_categories_are_listed_by_name_of_the_image(root):
    text = (root / "sceneCategories.txt").read_text().splitlines()
    categories = dict(line.split() for line in text)
    assert set(categories) == {f.stem for f in root.glob("images/*/*.jpg")}
    assert "ADE_val_00000001" in categories


def test_a_swimmer_has_water_and_a_flier_neither_water_nor_branch_under_its_feet():
    for i, species in enumerate(species_of(4, 60)):
        picture = draw_individual(4, species, i, 0, 96)
        shown = set(np.unique(picture.regions_HW).tolist())
        if picture.place == "swim":
            assert Region.WATER in shown
            assert Region.LEG not in shown
        if picture.place == "flight":
            assert picture.flying
            assert Region.FAR_WING in shown
            assert Region.BRANCH not in shown
        if picture.place in ("branch", "leaves", "trunk"):
            assert Region.BRANCH in shown


def test_masks_follow_the_pixels_of_a_bird_in_one_loud_colour():
    """Where a wholly red bird is drawn, and nowhere else, the picture is red."""
    species = next(s for s in species_of(1, 40) if s.male.shape == "perching-like")
    red = dict.fromkeys(species.male.colors, "red")
    solid = dict.fromkeys(species.male.patterns, "solid")
    bird = dataclasses.replace(
        species.male,
        colors={**red, "eye": "black"},
        patterns=solid,
        marks={},
        head_patterns=("plain",),
    )
    loud = dataclasses.replace(species, male=bird, female=bird)
    agree, total = 0, 0
    for i in range(12):
        picture = draw_individual(1, loud, 0, i, 128)
        if "brown" in {*picture.bird.colors.values(), *picture.bird.marks.values()}:
            continue  # A young one is not wholly red.
        rgb_HWC = picture.image_HWC.astype(int)
        reddish_HW = rgb_HWC[..., 0] > 60 + rgb_HWC[..., 1:].max(axis=2)
        bird_HW = picture.regions_HW >= Region.WING
        bird_HW &= picture.regions_HW != Region.EYE
        agree += (reddish_HW == bird_HW).sum()
        total += bird_HW.size
    assert total > 50_000
    # The rest: antialiased edges, the glint of the eye, fine lines between feathers.
    assert agree / total > 0.985


def test_classes_are_unions_of_regions_and_rocks_are_other():
    regions_HW = np.array([[Region.ROCK, Region.PRIMARY, Region.FAR_WING]], np.uint8)
    wing = list(CLASSES).index("wing") + 1
    assert class_labels(regions_HW).tolist() == [[0, wing, wing]]
    listed = [region for regions in CLASSES.values() for region in regions]
    assert len(listed) == len(set(listed))
    assert set(Region) - set(listed) == {Region.NOTHING, Region.ROCK}


def test_the_same_seed_gives_the_same_bytes_with_two_workers(root, tmp_path):
    write_demo_scenes(tmp_path / "again", SMALL, n_workers=2)
    assert digests(tmp_path / "again") == digests(root.parent)


def test_a_failure_half_way_leaves_no_folder(tmp_path, monkeypatch):
    def broken(regions_HW):
        raise MemoryError

    monkeypatch.setattr(write_scenes, "class_labels", broken)
    with pytest.raises(MemoryError):
        write_demo_scenes(tmp_path / "scenes", SMALL, n_workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_split_without_pictures_is_refused():
    with pytest.raises(ValueError, match="n_validation is 0: write a whole number of"):
        dataclasses.replace(SMALL, n_validation=0)


def test_every_colour_word_can_be_told_from_every_other():
    colors = np.array(list(PALETTE.values()), dtype=float)
    distance_CC = np.abs(colors[:, None] - colors[None]).sum(axis=2)
    np.fill_diagonal(distance_CC, np.inf)
    assert distance_CC.min() > 45
