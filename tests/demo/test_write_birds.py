import dataclasses
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitproto.demo import write_birds
from vitproto.demo.birds.attributes import (
    MIN_PIXELS,
    PARTS,
    annotated,
    attribute_groups,
    attribute_names,
    bounding_box,
    part_locations,
    present_attributes,
    visible_attributes,
)
from vitproto.demo.birds.bird import draw_bird, draw_individual
from vitproto.demo.birds.painting import Canvas, Clipped, Region, Stroke, smooth
from vitproto.demo.birds.traits import BUILDS, PALETTE, individual_of, species_of
from vitproto.demo.write_birds import DemoBirds, write_demo_birds
from vitproto.demo.write_corpus import DemoCorpus, write_demo_corpus

SMALL = DemoBirds(n_species=3, n_images_per_species=5, image_size=96, seed=3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "birds"
    write_demo_birds(out, SMALL, n_workers=1)
    return out


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def test_the_same_seed_gives_the_same_bytes_with_one_and_with_two_workers(
    drawn, tmp_path
):
    write_demo_birds(tmp_path / "again", SMALL, n_workers=2)
    assert digests(tmp_path / "again") == digests(drawn)


def test_another_seed_gives_other_species_and_other_pictures(drawn, tmp_path):
    write_demo_birds(tmp_path / "other", dataclasses.replace(SMALL, seed=4), 1)
    ours, others = digests(drawn), digests(tmp_path / "other")
    images = {name for name in ours if name.endswith(".jpg")}
    assert not images & set(others)  # Other species have other names.
    assert not {ours[name] for name in images} & set(others.values())


def test_more_species_leave_the_first_ones_as_they_were():
    few, many = species_of(9, 4), species_of(9, 20)
    assert many[:4] == few
    assert len({species.name for species in many}) == 20


def test_the_text_files_have_the_lines_of_the_official_ones(drawn):
    root = drawn / "CUB_200_2011"
    n_images = SMALL.n_species * SMALL.n_images_per_species
    ids = [str(i) for i in range(1, n_images + 1)]
    for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes"):
        assert [line[0] for line in lines(root / f"{name}.txt")] == ids
    assert [line[0] for line in lines(root / "classes.txt")] == ["1", "2", "3"]
    labels = lines(root / "attributes" / "image_attribute_labels.txt")
    assert len(labels) == n_images * 312
    first_two = [(line[0], line[1]) for line in labels]
    assert first_two == [(i, str(a)) for i in ids for a in range(1, 313)]
    assert {line[2] for line in labels} == {"0", "1"}
    assert {line[3] for line in labels} <= {"1", "2", "3", "4"}
    assert all(float(line[-1]) >= 0 for line in labels)  # The time.
    assert {len(line) for line in labels} == {5, 7}  # Some with extra columns.
    parts = lines(root / "parts" / "part_locs.txt")
    part_ids = [str(p) for p in range(1, 16)]
    assert [(line[0], line[1]) for line in parts] == [
        (i, p) for i in ids for p in part_ids
    ]
    continuous = np.loadtxt(
        root / "attributes" / "class_attribute_labels_continuous.txt"
    )
    assert continuous.shape == (3, 312)
    assert continuous.min() >= 0
    assert 50 < continuous.max() <= 100


def test_attributes_lie_beside_the_folder_as_in_the_official_archive(drawn):
    numbered = (drawn / "attributes.txt").read_text().splitlines()
    assert numbered[0] == "1 has_bill_shape::curved_(up_or_down)"
    assert numbered[311] == "312 has_wing_pattern::multi-colored"
    assert not (drawn / "CUB_200_2011" / "attributes" / "attributes.txt").exists()


def test_every_listed_image_is_there_in_the_folder_of_its_class(drawn):
    root = drawn / "CUB_200_2011"
    classes = dict(lines(root / "classes.txt"))
    class_of = dict(lines(root / "image_class_labels.txt"))
    listed = lines(root / "images.txt")
    for image_id, path in listed:
        assert path.split("/")[0] == classes[class_of[image_id]]
        with Image.open(root / "images" / path) as image:
            image.load()
            assert max(image.size) == SMALL.image_size
    assert len(list((root / "images").rglob("*.jpg"))) == len(listed)


def test_each_species_has_its_larger_half_in_training(drawn):
    root = drawn / "CUB_200_2011"
    is_train = np.array([int(line[1]) for line in lines(root / "train_test_split.txt")])
    assert is_train.reshape(3, 5).sum(axis=1).tolist() == [3, 3, 3]


def test_a_failure_half_way_leaves_no_folder(tmp_path, monkeypatch):
    save, n_saved = write_birds.save_jpeg, 0

    def full_disc(image_HWC, path):
        nonlocal n_saved
        n_saved += 1
        if n_saved == 8:
            raise OSError("no space left on device")
        save(image_HWC, path)

    monkeypatch.setattr(write_birds, "save_jpeg", full_disc)
    with pytest.raises(OSError, match="no space"):
        write_demo_birds(tmp_path / "birds", SMALL, n_workers=1)
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_user_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="already exists: remove it"):
        write_demo_birds(tmp_path, SMALL, n_workers=1)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_impossible_numbers_are_refused_before_anything_is_drawn(tmp_path):
    for change, message in (
        ({"n_species": 0}, "n_species is 0: write a whole number of at least 1"),
        ({"n_images_per_species": 1}, "is 1: write a whole number of at least 2"),
        ({"image_size": 32}, "image_size is 32: write a whole number of at least 64"),
    ):
        with pytest.raises(ValueError, match=message):
            write_demo_birds(tmp_path / "x", dataclasses.replace(SMALL, **change), 1)
    with pytest.raises(ValueError, match="n_workers must be at least 1, got 0"):
        write_demo_birds(tmp_path / "x", SMALL, n_workers=0)
    assert not (tmp_path / "x").exists()


def nearest_color(rgb: np.ndarray) -> str:
    return min(PALETTE, key=lambda name: np.abs(np.array(PALETTE[name]) - rgb).sum())


def test_planted_colours_are_the_colours_of_the_pixels_of_their_part():
    """Half a part's pixels and more must look like its colour, or marks aside."""
    right, wrong = 0, []
    for i, species in enumerate(species_of(5, 60)):
        picture = draw_individual(5, species, i, 0, 160)
        bird = picture.bird
        for part, color in bird.colors.items():
            inside = picture.regions_HW == Region[part.upper()]
            # Thin parts blend into their surroundings, irises into their pupils.
            if part in ("leg", "eye", "under_tail") or inside.sum() < 60:
                continue
            mark = bird.marks.get("tail" if part == "upper_tail" else part)
            seen = nearest_color(np.median(picture.image_HWC[inside], axis=0))
            if seen in (color, mark) or (part == "face" and seen == bird.head_mark):
                right += 1
            else:
                wrong.append((part, color, seen))
    assert right > 400
    assert len(wrong) < 0.05 * right, wrong


@pytest.mark.parametrize("part", ["breast", "wing", "crown", "upper_tail", "bill"])
def test_changing_one_colour_changes_the_pixels_of_that_part_alone(part):
    species = next(s for s in species_of(1, 40) if s.male.shape == "perching-like")
    solid = dict.fromkeys(species.male.patterns, "solid")
    plain = dataclasses.replace(
        species.male, patterns=solid, marks={}, head_patterns=("plain",)
    )
    red, blue = (
        draw_bird(
            dataclasses.replace(plain, colors={**plain.colors, part: color}),
            np.random.default_rng(0),
            160,
        )
        for color in ("red", "blue")
    )
    np.testing.assert_array_equal(red.regions_HW, blue.regions_HW)
    change_HW = np.abs(red.image_HWC.astype(int) - blue.image_HWC).max(axis=2)
    inside = red.regions_HW == Region[part.upper()]
    assert inside.sum() > 20
    assert np.mean(change_HW[inside] > 60) > 0.6
    near = np.zeros_like(inside)  # Antialiasing reaches one pixel further.
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        near |= np.roll(inside, (dy, dx), axis=(0, 1))
    assert np.mean(change_HW[~near] > 10) < 0.002


def test_what_is_labelled_present_is_what_the_bird_wears():
    species = next(s for s in species_of(0, 30) if s.male.shape == "duck-like")
    bird = dataclasses.replace(
        species.male,
        size="large",
        bill_shape="spatulate",
        bill_ratio=1.0,
        colors={**species.male.colors, "back": "grey", "breast": "red", "leg": "pink"},
        patterns={**species.male.patterns, "breast": "spotted"},
        marks={"breast": "black"},
        head_patterns=("eyering", "crested"),
    )
    present_T = present_attributes(bird)
    names = {n for n, p in zip(attribute_names(), present_T, strict=True) if p}
    of_group = {
        group: {n.split("::")[1] for n in names if n.startswith(f"{group}::")}
        for group in dict.fromkeys(attribute_groups())
    }
    assert of_group["has_size"] == {"large_(16_-_32_in)"}
    assert of_group["has_shape"] == {"duck-like"}
    assert of_group["has_bill_shape"] == {"spatulate"}
    assert of_group["has_bill_length"] == {"about_the_same_as_head"}
    assert of_group["has_breast_color"] == {"red", "black"}  # And that of its spots.
    assert of_group["has_breast_pattern"] == {"spotted"}
    assert of_group["has_leg_color"] == {"pink"}
    assert of_group["has_head_pattern"] == {"eyering", "crested"}
    assert "grey" in of_group["has_upperparts_color"]
    assert {"red", "black"} <= of_group["has_underparts_color"]


def test_a_part_is_visible_when_enough_of_its_pixels_are():
    regions_HW = np.full((20, 20), Region.SKY, np.uint8)
    regions_HW.flat[:MIN_PIXELS] = Region.BREAST
    regions_HW.flat[20 : 20 + MIN_PIXELS - 1] = Region.LEG
    visible_T = visible_attributes(regions_HW, flying=False)
    groups = {g for g, v in zip(attribute_groups(), visible_T, strict=True) if v}
    assert groups == {
        "has_breast_color",
        "has_breast_pattern",
        "has_underparts_color",
        "has_size",
        "has_shape",
    }


def test_wing_shape_can_be_judged_in_flight_alone():
    regions_HW = np.full((10, 10), Region.WING, np.uint8)
    i = attribute_names().index("has_wing_shape::pointed-wings")
    assert visible_attributes(regions_HW, flying=True)[i]
    assert not visible_attributes(regions_HW, flying=False)[i]


def test_annotators_call_nothing_present_that_they_call_not_visible():
    rng = np.random.default_rng(0)
    present_T = rng.random(312) < 0.1
    visible_T = np.array([group != "has_leg_color" for group in attribute_groups()])
    said, certainties = [], []
    for _ in range(300):
        said_T, certainty_T = annotated(rng, present_T, visible_T)
        assert not said_T[certainty_T == 1].any()
        assert (certainty_T[~visible_T] <= 2).all()
        assert (certainty_T[visible_T] >= 2).all()
        said.append(said_T)
        certainties.append(certainty_T)
    said_AT = np.stack(said)
    kept = said_AT[:, present_T & visible_T].mean()
    assert 0.92 < kept < 0.96  # 6 % are overlooked or taken for another colour.
    assert said_AT[:, ~present_T].mean() < 0.02
    definite = np.mean(np.stack(certainties)[:, visible_T] == 4)
    assert 0.69 < definite < 0.73


def test_parts_are_located_on_their_own_pixels_and_on_the_side_that_is_seen():
    regions_HW = np.full((30, 40), Region.SKY, np.uint8)
    regions_HW[5:10, 30:35] = Region.EYE
    regions_HW[20, 5:25] = Region.UPPER_TAIL
    regions_HW[21:29, 5] = Region.UPPER_TAIL
    to_the_left = part_locations(regions_HW, faces_left=True)
    assert to_the_left["left eye"] == (32.0, 7.0)
    assert to_the_left["right eye"] is None
    assert part_locations(regions_HW, faces_left=False)["right eye"] == (32.0, 7.0)
    x, y = to_the_left["tail"]
    assert regions_HW[int(y), int(x)] == Region.UPPER_TAIL
    assert set(to_the_left) == set(PARTS)
    assert bounding_box(regions_HW) == (5, 5, 30, 24)


def test_all_shapes_and_rare_and_common_traits_occur():
    species = species_of(7, 50)
    assert {s.male.shape for s in species} == set(BUILDS)
    rng = np.random.default_rng(0)
    shows_NT = np.stack(
        [present_attributes(individual_of(s, rng)) for s in species for _ in range(24)]
    )
    prevalence_T = shows_NT.mean(axis=0)
    drawn_T = prevalence_T[prevalence_T > 0]
    assert len(drawn_T) > 180
    assert drawn_T.mean() < 0.17
    assert np.sum(drawn_T < 0.03) > 30
    assert 0.45 < drawn_T.max() < 0.85


def test_a_stroke_leaves_its_colour_and_its_region_in_the_same_pixels():
    square = np.array([(1.0, 1.0), (3.0, 1.0), (3.0, 3.0), (1.0, 3.0)])
    canvas = Canvas((8, 8), lambda points: points * 2.0, 2.0)
    disc = Clipped(square, (200, 0, 0), Region.BELLY)
    band = Stroke(square * [1, 0.5], (0, 0, 200), Region.WING)
    disc.strokes.append(band)
    canvas.paint([disc])
    colors, coverage, regions_HW = canvas.flattened()
    rgb_HWC, alpha_HW = np.asarray(colors), np.asarray(coverage)
    assert regions_HW[4, 4] == Region.BELLY
    assert rgb_HWC[4, 4].tolist() == [200, 0, 0]
    assert regions_HW[2, 4] == Region.WING  # The band, inside the square.
    assert rgb_HWC[2, 4].tolist() == [0, 0, 200]
    assert regions_HW[1, 4] == Region.NOTHING  # The band, cut off outside.
    assert alpha_HW[1, 4] == 0


def test_a_smooth_curve_passes_through_its_points():
    points = np.array([(0.0, 0.0), (1.0, 2.0), (3.0, 1.0), (2.0, -1.0)])
    np.testing.assert_allclose(smooth(points, 5)[::5], points)
    np.testing.assert_allclose(smooth(points, 5, closed=False)[::5], points)


def test_the_corpus_has_folders_of_other_species_and_no_labels(drawn, tmp_path):
    cfg = DemoCorpus(n_species=2, n_images_per_species=3, image_size=96, seed=50)
    write_demo_corpus(tmp_path / "one", cfg, n_workers=1)
    write_demo_corpus(tmp_path / "two", cfg, n_workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    folders = sorted(os.listdir(tmp_path / "one"))
    assert folders == sorted(species.name for species in species_of(50, 2))
    named = {name for _, name in lines(drawn / "CUB_200_2011" / "classes.txt")}
    assert not named & set(folders)
    files = [f for f in (tmp_path / "one").rglob("*") if f.is_file()]
    assert len(files) == 6
    assert {file.suffix for file in files} == {".jpg"}
