"""What was fitted to activations goes with activations of the same encoder alone."""

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

DECISIVE = ("encoder", "weights_digest", "preprocessing")
"""Root attributes of shards that decide activations; not the data set, which may be
another one."""


class MadeWith(NamedTuple):
    """A file, and what made the activations that it holds or was fitted to."""

    where: str
    """The file, for messages."""
    attributes: Mapping[str, Any]
    """Root attributes of shards, as far as they are known."""
    layer: int | None
    """The block, counted from 0; None where it does not matter."""


def check_same_encoder(one: MadeWith, other: MadeWith) -> None:
    """Refuse to use two things together that were made with different encoders.

    The model, its weights, its preprocessing and the layer must agree, as far as both
    are known. The type that activations were computed in may differ, and is logged.

    Raises:
        ValueError: they do not; both files and what differs are named.
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
            "together what was made with the same encoder, weights, preprocessing and "
            "layer, or make one of them again"
        )
    computed = [made.attributes.get("computed_in") for made in (one, other)]
    if None not in computed and computed[0] != computed[1]:
        logging.info(
            "%s comes from activations computed in %s, %s from %s",
            *(one.where, computed[0], other.where, computed[1]),
        )


def _known(made: MadeWith) -> dict[str, Any]:
    """What decides activations, each part of the preprocessing by itself."""
    attributes = made.attributes
    known = {name: attributes[name] for name in DECISIVE if name in attributes}
    if str(known.get("encoder")).startswith("local-dir:"):
        del known["encoder"]  # where a copy lies says nothing; its weights do
    if "preprocessing" in known:
        known |= json.loads(known.pop("preprocessing"))
    if made.layer is not None:
        known["layer"] = made.layer
    return known
