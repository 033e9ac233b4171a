"""Refuse to use prototypes with the activations of another encoder."""

import logging
from pathlib import Path

from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint


def check_fitted_to(path: Path | str, acts: Activations, shard: Path) -> None:
    """Check that prototypes were fitted to the same encoder; the data set may differ.

    Random directions are not fitted to any encoder, and imported autoencoders do not
    say to which. For these only the width can be compared.

    Args:
        path: a checkpoint.
        acts: the activations to use it with.
        shard: one of their files, for the message.

    Raises:
        ValueError: the encoder, its weights, its preprocessing or the layer differ.
    """
    settings = checkpoint.read_settings(path)
    if "fitted_to" in settings:
        fitted = MadeWith(str(path), settings["fitted_to"], settings.get("layer"))
        check_same_encoder(fitted, MadeWith(str(shard), acts.attributes, acts.layer))
    elif settings.get("method") != "gaussian":
        logging.info(
            "%s does not say which encoder it was fitted to: only its width is "
            "compared with %s",
            *(path, shard),
        )
