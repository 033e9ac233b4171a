"""What open_clip and timm say of a model with the weights of a tag."""

from collections.abc import Mapping
from typing import Any

from vitproto.activations.torchvision_shim import import_open_clip


def tag_of_open_clip(model: str, pretrained: str) -> Mapping[str, Any]:
    """Where the weights of a tag lie, and how images are prepared for them.

    Raises:
        ValueError: open_clip has no such model, or the model no such weights.
    """
    open_clip = import_open_clip()
    if model not in open_clip.list_models():
        raise ValueError(
            f"open_clip has no model {model!r}: see "
            "open_clip.list_models(), or prefix a timm model with `timm:`"
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
    """The same of a `timm:` model.

    Raises:
        ValueError: timm has no such model and tag.
    """
    import_open_clip()  # makes torchvision importable, which timm needs too
    import timm

    name = f"{model.removeprefix('timm:')}.{pretrained}"
    if name not in timm.list_pretrained():
        raise ValueError(
            f"timm has no model and tag {name!r}: see timm.list_pretrained()"
        )
    return timm.models.get_pretrained_cfg(name).to_dict()
