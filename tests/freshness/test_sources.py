"""The files of encoders and data sets that each stage reads."""

import shutil

import pytest

from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import ABSENT
from vitproto.freshness.raw_files import Places
from vitproto.freshness.sources import files_of_encoder, of_encoder, of_list


@pytest.mark.parametrize(
    "weights", ["open_clip_model.safetensors", "model.safetensors", "w.bin", "w.pth"]
)
def test_weights_count_whatever_they_are_called(tmp_path, weights):
    """open_clip reads any of these."""
    for name in (weights, "open_clip_config.json", "README.md"):
        (tmp_path / name).write_text("")
    names = [file.name for file in files_of_encoder(tmp_path)]
    assert names == sorted([weights, "open_clip_config.json"])
    encoder = {"model": f"local-dir:{tmp_path}", "weights": "hub"}
    assert of_encoder("clip", encoder) == []


def test_an_encoder_that_is_not_here_is_said(tmp_path):
    encoder = {"model": f"local-dir:{tmp_path}", "weights": str(tmp_path / "w.pt")}
    folder, weights = of_encoder("clip", encoder)
    assert folder.what == f"the encoder clip (model: local-dir:{tmp_path})"
    assert weights.digests(Digests(tmp_path / "d")) == {"w.pt": ABSENT}


def make_birds(folder):
    """The files of CUB-200-2011 from which lists are made."""
    (folder / "images").mkdir(parents=True)
    for text in ("images.txt", "train_test_split.txt"):
        (folder / text).write_text("1 a.jpg")


def digests(root, known):
    dataset = {"layout": "cub200", "root": str(root)}
    return {
        name: digest
        for each in of_list("birds", dataset)
        for name, digest in each.digests(known).items()
    }


WHERE = "where the images of birds lie in its root"


def test_a_list_counts_where_in_its_root_images_lie_and_not_where_the_root_is(tmp_path):
    """Paths in the list are relative to the root."""
    known = Digests(tmp_path / "digests.json")
    make_birds(tmp_path / "birds/CUB_200_2011")
    before = digests(tmp_path / "birds", known)
    assert {"images.txt of birds", "train_test_split.txt of birds", WHERE} == {*before}
    shutil.move(tmp_path / "birds", tmp_path / "elsewhere")
    assert digests(tmp_path / "elsewhere", known) == before
    inner = digests(tmp_path / "elsewhere/CUB_200_2011", known)
    assert {name for name in before if before[name] != inner[name]} == {WHERE}
    make_birds(tmp_path / "elsewhere")  # beside the other, and it comes first
    assert digests(tmp_path / "elsewhere", known) == inner


def test_a_list_of_scenes_counts_where_in_its_root_they_lie(tmp_path):
    known = Digests(tmp_path / "digests.json")
    top = tmp_path / "scenes/ADEChallengeData2016"
    for part in ("images", "annotations"):
        for split in ("training", "validation"):
            (top / part / split).mkdir(parents=True)
    (top / "sceneCategories.txt").write_text("a b")

    def where(root):
        found = of_list("scenes", {"layout": "ade20k", "root": str(root)})
        (place,) = (each for each in found if isinstance(each, Places))
        return place.digests(known)

    assert where(top) != where(top.parent)
