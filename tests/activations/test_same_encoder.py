"""What differs between two encoders is named; what does not matter is not."""

import json
import logging

import pytest

from vitproto.activations.same_encoder import MadeWith, check_same_encoder

CLIP = {
    "encoder": "ViT-L-14",
    "weights_digest": "aa",
    "preprocessing": json.dumps({"height": 224, "resize_mode": "shortest"}),
    "dataset": "inat21",
    "computed_in": "bfloat16",
}


def made(layer=23, where="k8.safetensors", **changes):
    return MadeWith(where, {**CLIP, **changes}, layer)


def refusal(one, other) -> str:
    with pytest.raises(ValueError, match=".") as caught:
        check_same_encoder(one, other)
    return str(caught.value)


@pytest.mark.parametrize(
    ("layer", "changes", "first", "second"),
    [
        (13, {}, "layer 23", "layer 13"),
        (23, {"weights_digest": "bb"}, "weights_digest aa", "weights_digest bb"),
        (
            23,
            {"encoder": "ViT-L-14-quickgelu"},
            "encoder ViT-L-14",
            "encoder ViT-L-14-quickgelu",
        ),
        (
            23,
            {"preprocessing": json.dumps({"height": 224, "resize_mode": "squash"})},
            "resize_mode shortest",
            "resize_mode squash",
        ),
        (
            13,
            {"weights_digest": "bb"},
            "weights_digest aa and layer 23",
            "weights_digest bb and layer 13",
        ),
    ],
)
def test_files_and_what_differs_are_named(layer, changes, first, second):
    said = refusal(made(), made(layer, "shard.h5", **changes))
    assert said.startswith(
        f"k8.safetensors was made with {first}, but shard.h5 with {second}: use"
    )


def test_another_data_set_is_welcome_and_another_precision_is_told(caplog):
    with caplog.at_level(logging.INFO):
        check_same_encoder(made(), made(where="shard.h5", dataset="cub200"))
        assert not caplog.records
        check_same_encoder(made(), made(where="shard.h5", computed_in="float32"))
    assert (
        "k8.safetensors comes from activations computed in bfloat16, shard.h5 from "
        "float32" in caplog.text
    )


def test_a_copied_folder_is_the_same_encoder_if_its_weights_are():
    here, there = made(encoder="local-dir:a"), made(encoder="local-dir:/b/a")
    check_same_encoder(here, there)
    assert "weights_digest aa, but" in refusal(here, made(weights_digest="bb"))


def test_what_is_not_known_is_not_compared():
    check_same_encoder(made(), MadeWith("shard.h5", {}, None))
    check_same_encoder(MadeWith("k8.safetensors", {}, 23), made())
