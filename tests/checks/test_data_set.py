"""Everything that is wrong with a data set is found in one go."""

import hashlib
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
from flat_flags import call_flat
from PIL import Image

from vitproto.activations.image_digests import read_image_digests
from vitproto.activations.image_file import read_image
from vitproto.checks.data_set import Table, problems_of
from vitproto.checks.files import ImageReading
from vitproto.checks.problem_list import N_SHOWN, describe
from vitproto.core.project import PROJECT
from vitproto.data.ade20k import read_images
from vitproto.data.image_list import write_image_list
from vitproto.data.label_rule import LabelRule
from vitproto.data.stratified_split import TableSplit
from vitproto.demo.write_birds import DemoBirds, write_demo_birds
from vitproto.demo.write_scenes import DemoScenes, write_demo_scenes

RULE = LabelRule(present=(3, 4), unknown=())
READING = ImageReading(grey_range="type", most_pixels=10_000, n_workers=2)
check_images = runpy.run_path(str(PROJECT / "scripts/check_images.py"))["check_images"]


@pytest.fixture
def scenes(tmp_path):
    """Scenes that the project draws: 6 for training, 4 for validation."""
    drawn = DemoScenes(n_species=4, n_training=6, n_validation=4, image_size=64, seed=0)
    write_demo_scenes(tmp_path / "scenes", drawn, n_workers=2)
    # A folder of the user's may have the name of one of ADE20K's.
    (tmp_path / "scenes").rename(tmp_path / "annotations")
    return tmp_path / "annotations/ADEChallengeData2016"


@pytest.fixture
def birds(tmp_path):
    drawn = DemoBirds(n_species=4, n_images_per_species=4, image_size=64, seed=0)
    write_demo_birds(tmp_path / "birds", drawn, n_workers=2)
    return tmp_path / "birds/CUB_200_2011"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_sound_data_set_has_no_problem(scenes, birds):
    assert problems_of("ade20k", scenes, None, READING) == []
    assert problems_of("cub200", birds, RULE, READING) == []
    assert problems_of("image_folder", birds / "images", None, READING) == []


def test_all_problems_of_a_table_and_its_images_are_found_together(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(root / name)
    (root / "c.png").write_bytes(b"no image")
    file = tmp_path / "traits.csv"
    table = Table(file, TableSplit(0.5, 0))
    file.write_text("image,wing\na.png,red\nb.png,red\n")
    assert problems_of("table", root, RULE, READING, table) == []
    file.write_text("image,size\na.png,1.5\nc.png,2\nd.png,\n")
    found = problems_of("table", root, RULE, READING, table)
    assert len(found) == 3
    assert "column 'size' holds numbers" in found[0]
    assert "line 4: there is no image 'd.png'" in found[1]
    assert "c.png" in found[2]


def damage(scenes):
    """Faults of every kind; gives a part of each sentence that must come."""
    images = files(scenes / "images/training")
    masks = files(scenes / "annotations/training")
    images[0].write_bytes(images[0].read_bytes()[:500])
    images[1].write_bytes(b"<!DOCTYPE html>")
    Image.new("RGB", (101, 100)).save(images[2])
    Image.open(masks[3]).convert("RGB").save(masks[3])
    Image.fromarray(np.full_like(Image.open(masks[4]), 250)).save(masks[4])
    masks[5].write_bytes(b"")
    return [
        f"{images[0]} cannot be read as an image",
        f"{images[1]} cannot be read as an image",
        f"{images[2]} has 101 × 100 pixels, more than most_pixels: 10,000",
        f"{masks[2]} has ",
        f"{masks[3]} has pixels of type",
        f"{masks[4]} holds the label 250",
        f"{masks[5]} cannot be read as a mask",
    ]


def test_all_bad_images_and_masks_are_named_at_once(scenes):
    expected = damage(scenes)
    problems = problems_of("ade20k", scenes, None, READING)
    missing = [part for part in expected if not any(part in p for p in problems)]
    assert not missing
    assert len(problems) == len(expected)


def test_all_bad_lines_of_the_classes_are_named_beside_bad_images(scenes):
    damage(scenes)
    (classes,) = scenes.glob("objectInfo*.txt")
    lines = classes.read_text().splitlines()
    lines[1], lines[3] = "one" + lines[1][1:], lines[2]
    classes.write_text("\n".join(lines) + "\n7\n")
    problems = problems_of("ade20k", scenes, None, READING)
    assert problems[0].startswith(f"{classes}, line 2: Idx must be a whole number, got")
    assert problems[1] == f"{classes}, line 4: the Idx 2 is already on line 3"
    assert problems[2].startswith(f"{classes}, line {len(lines) + 1}: the name is miss")
    assert len([p for p in problems if "images/training" in p]) >= 3


def test_a_list_that_cannot_be_made_hides_no_bad_file(scenes):
    expected = damage(scenes)
    validation = scenes / "annotations/validation"
    alone = [path.name for path in sorted(validation.iterdir())[:2]]
    (validation / alone[0]).unlink()
    (scenes / "images/validation" / alone[1]).with_suffix(".jpg").unlink()
    (classes,) = scenes.glob("objectInfo*.txt")
    classes.write_text("Idx\tName\none\ta\n")
    problems = problems_of("ade20k", scenes, None, READING)
    expected = [part for part in expected if "label 250" not in part]
    expected += [
        f"{classes}, line 2: Idx must be a whole number",
        f"1 of the 3 images in {scenes}/images/validation have no mask",
        f"1 of the 3 masks in {validation} have no image",
    ]
    missing = [part for part in expected if not any(part in p for p in problems)]
    assert not missing
    assert len(problems) == len(expected)


def test_a_mask_of_the_wrong_size_and_type_is_told_both(scenes):
    mask = files(scenes / "annotations/training")[1]
    Image.new("RGB", (3, 5)).save(mask)
    first, second = problems_of("ade20k", scenes, None, READING)
    assert first.startswith(f"{mask} has 3 × 5 pixels, but its image")
    assert second.startswith(f"{mask} has pixels of type RGB")


def test_images_that_share_an_id_are_all_named_beside_bad_ones(birds):
    folder = birds / "images"
    first, second, third, *_ = files(folder)
    for path in (first, second):
        path.with_suffix(".png").write_bytes(path.read_bytes())
    third.write_bytes(b"")
    problems = problems_of("image_folder", folder, None, READING)
    assert len(problems) == 3
    assert all("must not differ in their suffix" in line for line in problems[:2])
    assert problems[2].startswith(f"{third} cannot be read as an image")


def test_bad_labels_lists_and_images_of_birds_are_named_at_once(birds):
    labels = birds / "attributes/image_attribute_labels.txt"
    lines = labels.read_text().splitlines()
    lines[6] = "1 7 yes 4 1.0"
    labels.write_text("\n".join(lines))
    bad = files(birds / "images")[2]
    bad.write_bytes(b"\0" * 1000)
    problems = problems_of("cub200", birds, RULE, READING)
    assert len(problems) == 2
    assert problems[0].startswith(f"{labels}, line 7: the presence must be a whole num")
    assert problems[1].startswith(f"{bad} cannot be read as an image")
    listed = (birds / "images.txt").read_text().split("\n", 1)[1]
    (birds / "images.txt").write_text(f"1 /etc/a.jpg\n{listed}")
    problems = problems_of("cub200", birds, RULE, READING)
    assert any("line 1: expected a path below the folder" in p for p in problems)


def test_many_problems_are_counted():
    told = list(describe([f"problem {i}" for i in range(N_SHOWN + 1234)]))
    assert told[:2] == ["- problem 0", "- problem 1"]
    assert told[N_SHOWN:] == ["- and 1,234 more, which make check-data lists"]


def stage(folder, scenes):
    write_image_list(read_images(scenes), folder / "images.csv")
    call_flat(
        check_images,
        root=scenes,
        images=folder / "images.csv",
        digests=folder / "digests.h5",
        checked=folder / "checked.csv",
        dataset="scenes",
        layout="ade20k",
        grey_range="type",
        most_pixels=10_000,
        n_workers=2,
    )


def test_the_stage_names_every_bad_file_and_writes_nothing(scenes, tmp_path):
    damage(scenes)
    with pytest.raises(ValueError, match="7 problems with the files") as told:
        stage(tmp_path, scenes)
    assert str(told.value).count("\n") == 7
    assert not (tmp_path / "checked.csv").exists()
    assert not (tmp_path / "digests.h5").exists()


def test_the_stage_counts_what_it_has_decoded(scenes, tmp_path):
    stage(tmp_path, scenes)
    checked = (tmp_path / "checked.csv").read_text()
    assert checked == "files,n\nimages,10\nmasks,10\n"
    paths = read_images(scenes)["path"]
    digests = [hashlib.sha256((scenes / p).read_bytes()).digest() for p in paths]
    assert read_image_digests(tmp_path / "digests.h5") == digests


def test_an_image_that_is_replaced_while_it_is_decoded_counts_as_another(
    scenes, tmp_path, monkeypatch
):
    first = scenes / read_images(scenes)["path"][0]
    before = hashlib.sha256(first.read_bytes()).digest()

    def then_replaced(path, *how):
        image = read_image(path, *how)
        image.rotate(180).save(path)
        return image

    monkeypatch.setattr("vitproto.checks.files.read_image", then_replaced)
    stage(tmp_path, scenes)
    assert read_image_digests(tmp_path / "digests.h5")[0] == before
    assert hashlib.sha256(first.read_bytes()).digest() != before


def test_the_command_names_the_data_set_and_fails(scenes, tmp_path):
    text = (PROJECT / "config/demo_scenes.yaml").read_text()
    start, rest = text.split("    draw: {", 1)
    own = f"    root: {scenes}\n    n_images: 10\n" + rest.split("}\n", 1)[1]
    config = tmp_path / "own.yaml"
    config.write_text(start + own)

    def check():
        return subprocess.run(
            [sys.executable, str(PROJECT / "scripts/check_data.py"), str(config)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )

    good = check()
    assert (good.returncode, good.stdout) == (0, "demo_scenes: no problem\n")
    damage(scenes)
    bad = check()
    assert bad.returncode == 1
    first, *lines = bad.stdout.splitlines()
    assert first == f"demo_scenes: {len(lines)} problems"
    assert all(line.startswith("- ") for line in lines)
