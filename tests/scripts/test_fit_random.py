"""The control from the evaluated data set's own images never saw a test image."""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recorded import TOY, write_shards

from vitproto.core.project import PROJECT
from vitproto.data.image_list import COLUMNS, write_splits
from vitproto.prototypes import checkpoint
from vitproto.prototypes.checkpoint import load
from vitproto.prototypes.fitting import FitJob

fit_random = runpy.run_path(str(PROJECT / "scripts/fit_random.py"))["fit_random"]
FAMILY = dataclasses.replace(TOY, method="randomtrain")
N, P, D = 9, 4, 3
SPLITS = ["test", "train", "train", "test", "train", "test", "test", "train", "test"]
X_NPD = np.arange(N * P * D, dtype=np.float32).reshape(N, P, D)  # no patch is another


def run_stage(folder, runs, *, splits=SPLITS, n_shards=2, image_ids=None):
    folder.mkdir(exist_ok=True)
    image_ids = image_ids or [f"image{i}" for i in range(N)]
    pairs = zip(image_ids, splits, strict=True)
    rows = [(image_id, f"{image_id}.jpg", split, "") for image_id, split in pairs]
    write_splits(
        pd.DataFrame(rows, columns=COLUMNS, dtype="str"), folder / "splits.csv"
    )
    shards = write_shards(folder, X_NPD, n_shards)
    manifest = folder / "checkpoints.json"
    listed = folder / "splits.csv"
    fit_random(FitJob(shards, listed, folder, manifest, runs, FAMILY))
    return checkpoint.read_manifest(manifest, FAMILY, runs)


def patches(fitted):
    return [tuple(row) for row in load(fitted.path).directions_KD.tolist()]


def patches_of(split):
    images = [x_PD for x_PD, s in zip(X_NPD, SPLITS, strict=True) if s == split]
    return {tuple(row) for row in np.concatenate(images).tolist()}


def test_no_prototype_comes_from_a_test_image_and_every_training_patch_can(tmp_path):
    n_patches = SPLITS.count("train") * P
    runs = tuple(f"k{k}-seed{seed}" for k in (1, 5, n_patches) for seed in range(20))
    drawn = set()
    for fitted in run_stage(tmp_path, runs):
        found = patches(fitted)
        assert len(set(found)) == fitted.run.n_prototypes
        assert not set(found) & patches_of("test")
        if fitted.run.n_prototypes == n_patches:
            assert set(found) == patches_of("train")
        else:
            drawn |= set(found)
    assert drawn == patches_of("train")


def test_a_smaller_run_is_the_beginning_of_a_larger_one_and_seeds_differ(tmp_path):
    small, large, other = run_stage(tmp_path, ("k5-seed0", "k12-seed0", "k12-seed1"))
    assert patches(small) == patches(large)[:5]
    assert patches(large) != patches(other)


def test_shards_do_not_matter_and_settings_say_the_split(tmp_path):
    (one,) = run_stage(tmp_path / "one", ("k5-seed0",), n_shards=1)
    (three,) = run_stage(tmp_path / "three", ("k5-seed0",), n_shards=3)
    assert one.sha256 == three.sha256
    settings = checkpoint.read_settings(one.path)
    assert settings["method"] == "randomtrain"
    assert settings["fitted_to"]["split"] == "train"


def test_a_checkpoint_of_another_split_of_the_same_images_is_not_taken(tmp_path):
    (before,) = run_stage(tmp_path, ("k5-seed0",))
    date = Path(before.path).stat().st_mtime_ns
    (again,) = run_stage(tmp_path, ("k5-seed0",))
    assert again == before
    assert Path(again.path).stat().st_mtime_ns == date
    (other,) = run_stage(tmp_path, ("k5-seed0",), splits=["train", *SPLITS[:-1]])
    assert other.path != before.path


def test_more_prototypes_than_training_patches_are_refused(tmp_path):
    with pytest.raises(ValueError, match="17 patches are needed, but there are 16"):
        run_stage(tmp_path, ("k17-seed0",))


def test_a_list_of_other_images_is_refused(tmp_path):
    image_ids = [f"image{i}" for i in (1, 0, *range(2, N))]
    with pytest.raises(ValueError, match="order their images differently"):
        run_stage(tmp_path, ("k5-seed0",), image_ids=image_ids)
