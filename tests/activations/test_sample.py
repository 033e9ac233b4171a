"""A sample in a file is the one that memory would hold, and the file leaves nothing."""

import numpy as np
import pytest
import torch
from recorded import LAYER, write_shards

from vitproto.activations import sample
from vitproto.activations.sample import sampled
from vitproto.activations.stream import Activations


@pytest.fixture
def acts(tmp_path):
    x_NPD = np.random.default_rng(0).standard_normal((50, 9, 7)).astype(np.float32)
    folder = tmp_path / "shards"
    folder.mkdir()
    return Activations.open(write_shards(folder, x_NPD, n_shards=3), LAYER)


def test_the_file_holds_what_a_sample_in_memory_would(acts, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "PIECE", 64)  # several pieces
    expected_MD = acts.sample_patches(333, seed=4)
    with sampled(acts, 333, 4, tmp_path) as found:
        assert (found.n_patches, found.width) == (333, 7)
        chunks = list(found.chunks(100))
        assert [len(chunk_BD) for chunk_BD in chunks] == [100, 100, 100, 33]
        assert torch.equal(torch.cat(chunks), expected_MD)
        assert torch.equal(found.read(330, 10), expected_MD[330:])
        rows = np.array([332, 0, 7, 7])
        assert torch.equal(found.rows(rows), expected_MD[rows])
        assert found.rows(rows[:0]).shape == (0, 7)


def test_activations_stored_in_float16_stay_as_small_in_the_file(acts, tmp_path):
    x_NPD = torch.cat([acts_BPD for _, acts_BPD in acts.blocks(50)])
    half = Activations.open(write_shards(tmp_path, x_NPD, dtype="float16"), LAYER)
    with sampled(half, 100, 0, tmp_path) as found:
        assert found._dtype == np.float16
        (chunk_BD,) = found.chunks(100)
        assert torch.equal(chunk_BD, half.sample_patches(100, seed=0))


def test_no_file_is_ever_seen_nor_left_after_an_error(acts, tmp_path):
    folder = tmp_path / "scratch"

    def fail():
        with sampled(acts, 9, 0, folder):
            assert list(folder.iterdir()) == []
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        fail()
    assert list(folder.iterdir()) == []


def test_more_patches_than_there_are_are_refused(acts, tmp_path):
    with (
        pytest.raises(ValueError, match="451 patches are needed, but there are 450"),
        sampled(acts, 451, 0, tmp_path),
    ):
        pass
