"""What is fitted sees training images alone."""

import numpy as np
import pytest
from recorded import LAYER, write_shards, write_split_list

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.stream import Activations
from vitproto.activations.training_images import open_training_images

N, P, D = 9, 4, 3
SPLITS = ["test", "train", "train", "test", "train", "test", "test", "train", "test"]
TRAIN_N = np.array([1, 2, 4, 7])
X_NPD = np.arange(N * P * D, dtype=np.float32).reshape(N, P, D)  # no patch is another


def opened(folder, splits=SPLITS, n_shards=3):
    shards = write_shards(folder, X_NPD, n_shards)
    return open_training_images(shards, LAYER, write_split_list(folder, splits))


def rows(x):
    return sorted(map(tuple, x.reshape(-1, D).tolist()))


def test_no_reader_gives_a_patch_of_a_test_image(tmp_path):
    acts = opened(tmp_path)
    assert acts.image_ids == ["image1", "image2", "image4", "image7"]
    expected = X_NPD[TRAIN_N]
    blocks = np.concatenate([block.numpy() for _, block in acts.blocks(3)])
    np.testing.assert_array_equal(blocks, expected)
    assert rows(acts.sample_patches(16, seed=0).numpy()) == rows(expected)
    np.testing.assert_array_equal(acts.read_images(np.array([3, 0])), expected[[3, 0]])
    batches = iter(RandomBatches(acts, batch_size=8, seed=0, n_mixed=8, first_batch=0))
    epoch = np.concatenate([next(batches).numpy() for _ in range(2)])
    assert rows(epoch) == rows(expected)
    with pytest.raises(ValueError, match="17 patches are needed, but there are 16"):
        acts.sample_patches(17, seed=0)


def test_the_whole_data_set_stays_open_and_whole(tmp_path):
    acts = Activations.open(write_shards(tmp_path, X_NPD, 2), LAYER)
    part = acts.only(TRAIN_N)
    del part
    np.testing.assert_array_equal(acts.read_images(np.arange(N)), X_NPD)
    assert acts.n_images == N


def test_attributes_tell_splits_of_the_same_images_apart(tmp_path):
    def attributes(name, splits):
        (tmp_path / name).mkdir()
        return opened(tmp_path / name, splits).attributes

    found = attributes("a", SPLITS)
    assert found["split"] == "train"
    assert found == attributes("b", SPLITS)
    assert found != attributes("c", ["train", *SPLITS[1:]])
    assert "split" not in attributes("d", ["train"] * N)


def test_a_data_set_without_training_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lists no training image"):
        opened(tmp_path, ["test"] * N)
