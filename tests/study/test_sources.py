"""Which files decide what a stage reads of an encoder."""

import pytest

from vitproto.study.digests import Digests
from vitproto.study.origins import ABSENT
from vitproto.study.sources import files_of_encoder, of_encoder


@pytest.mark.parametrize(
    "weights", ["open_clip_model.safetensors", "model.safetensors", "w.bin", "w.pth"]
)
def test_weights_count_whatever_they_are_called(tmp_path, weights):
    """Open_clip takes any of these."""
    for name in (weights, "open_clip_config.json", "README.md"):
        (tmp_path / name).write_text("")
    names = [file.name for file in files_of_encoder(tmp_path)]
    assert names == sorted([weights, "open_clip_config.json"])
    encoder = {"model": f"local-dir:{tmp_path}", "checkpoint": "hub"}
    assert of_encoder("clip", encoder) == []


def test_an_encoder_that_is_not_here_is_said(tmp_path):
    encoder = {"model": f"local-dir:{tmp_path}", "checkpoint": str(tmp_path / "w.pt")}
    folder, weights = of_encoder("clip", encoder)
    assert folder.what == f"the encoder clip (model: local-dir:{tmp_path})"
    assert weights.digests(Digests(tmp_path / "d")) == {"w.pt": ABSENT}
