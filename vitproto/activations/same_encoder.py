"""Refuse to combine things that were made with different encoders."""

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

DECISIVE = ("encoder", "weights_digest", "preprocessing")
"""Root attributes of shards that determine activations. The data set may differ."""


class MadeWith(NamedTuple):
    """A file, and the encoder of the activations that it holds or was fitted to."""

    where: str
    """The file, for messages."""
    attributes: Mapping[str, Any]
    """Root attributes of the shards, as far as they are known."""
    layer: int | None
    """The block, counted from 0; None if it does not matter."""


def check_same_encoder(one: MadeWith, other: MadeWith) -> None:
    """Check that two files were made with the same encoder.

    Model, weights, preprocessing and layer must agree, as far as they are known for
    both. The type in which activations were computed may differ, and is logged.

    Raises:
        ValueError: they differ.
    """
    knows = [_known(one), _known(other)]
    both = [name for name in knows[0] if name in knows[1]]
    if differing := [name for name in both if knows[0][name] != knows[1][name]]:
        first, second = (
            " and ".join(f"{name} {known[name]}" for name in differing)
            for known in knows
        )
        raise ValueError(
            f"{one.where} was made with {first}, but {other.where} with {second}: use "
            "files made with the same encoder, weights, preprocessing and layer, or "
            "make one of them again"
        )
    computed = [made.attributes.get("computed_in") for made in (one, other)]
    if None not in computed and computed[0] != computed[1]:
        logging.info(
            "%s comes from activations computed in %s, %s from %s",
            *(one.where, computed[0], other.where, computed[1]),
        )


def _known(made: MadeWith) -> dict[str, Any]:
    """The attributes that determine activations, with the preprocessing in parts."""
    attributes = made.attributes
    known = {name: attributes[name] for name in DECISIVE if name in attributes}
    if str(known.get("encoder")).startswith("local-dir:"):
        del known["encoder"]  # a folder does not identify a model; its weights do
    if "preprocessing" in known:
        known |= json.loads(known.pop("preprocessing"))
    if made.layer is not None:
        known["layer"] = made.layer
    return known
