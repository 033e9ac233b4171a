import runpy
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from recorded import LAYER, with_threads, write_shards

from vitproto.core.project import PROJECT
from vitproto.traits.pooled_file import PooledLayer, read_pooled
from vitproto.traits.pooling import pool_image

STAGE = PROJECT / "scripts/pool_activations.py"
pool_activations = runpy.run_path(str(STAGE))["pool_activations"]
BIRDS = PooledLayer("birds", "tiny", LAYER)
X_NPD = np.random.default_rng(0).standard_normal((41, 7, 5)).astype(np.float16)


def pool(folder, n_shards, n_threads=2):
    """The bytes of the file that the stage writes."""
    path = folder / f"pooled-{n_shards}.h5"
    (folder / str(n_shards)).mkdir(exist_ok=True)
    shards = write_shards(folder / str(n_shards), X_NPD, n_shards, "float16")
    with_threads(n_threads, lambda: pool_activations(shards, path, layer=BIRDS))
    return path


def test_an_image_is_pooled_by_hand():
    max_D, mean_D = pool_image(torch.tensor([[1.0, -3.0], [2.0, -1.0], [6.0, -2.0]]))
    assert max_D.tolist() == [6, -1]
    assert mean_D.tolist() == [3, -2]


def test_the_stage_pools_all_images_in_order(tmp_path):
    pooled = read_pooled(pool(tmp_path, 2), BIRDS)
    assert pooled.image_ids == [f"image{i}" for i in range(41)]
    wide_NPD = X_NPD.astype(np.float64)
    assert (pooled.pooled["max"] == wide_NPD.max(1)).all()
    mean_ND = wide_NPD.mean(1)
    np.testing.assert_allclose(pooled.pooled["mean"], mean_ND, rtol=1e-6, atol=1e-7)


def test_shards_and_threads_change_no_byte(tmp_path):
    one = pool(tmp_path, 1, n_threads=1).read_bytes()
    assert pool(tmp_path, 3, n_threads=4).read_bytes() == one


def test_another_layer_and_damaged_files_are_refused(tmp_path):
    path = pool(tmp_path, 1)
    with pytest.raises(ValueError, match=r"layer 2, expected .* layer 3: delete it"):
        read_pooled(path, replace(BIRDS, layer=3))
    with h5py.File(path, "r+") as file:
        del file["mean_ND"]
    with pytest.raises(ValueError, match=r"pooled-1\.h5 is damaged or not a file of"):
        read_pooled(path, BIRDS)
    path.write_text("max,mean\n")
    with pytest.raises(ValueError, match="is damaged or not a file of pooled"):
        read_pooled(path, BIRDS)
