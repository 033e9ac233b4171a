"""Configurations of pretrained weights, from open_clip and timm."""

from collections.abc import Mapping
from typing import Any

from vitproto.activations.torchvision_shim import import_open_clip


def tag_of_open_clip(model: str, pretrained: str) -> Mapping[str, Any]:
    """The source and the preprocessing of an open_clip model's weights.

    Raises:
        ValueError: open_clip does not have the model or the tag.
    """
    open_clip = import_open_clip()
    if model not in open_clip.list_models():
        raise ValueError(
            f"open_clip has no model {model!r}: write one of open_clip.list_models(), "
            "or prefix a timm model with `timm:`"
        )
    cfg = open_clip.get_pretrained_cfg(model, pretrained)
    if not cfg:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ValueError(
            f"{model} has no weights {pretrained!r}: write one of {', '.join(tags)} as "
            "`pretrained`"
        )
    return cfg


def tag_of_timm(model: str, pretrained: str) -> Mapping[str, Any]:
    """The source and the preprocessing of a `timm:` model's weights.

    Raises:
        ValueError: timm does not have the model or the tag.
    """
    import_open_clip()  # makes torchvision importable, which timm needs too
    import timm

    name = f"{model.removeprefix('timm:')}.{pretrained}"
    if name not in timm.list_pretrained():
        raise ValueError(
            f"timm has no model and tag {name!r}: write one of timm.list_pretrained()"
        )
    return timm.models.get_pretrained_cfg(name).to_dict()
