"""Prototypes are only used with activations of the encoder that they were fitted to."""

import logging
from pathlib import Path

from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint


def check_fitted_to(path: Path | str, acts: Activations, shard: Path) -> None:
    """Were prototypes fitted to activations like these? Their data set may differ.

    Random directions were fitted to nothing, and imported autoencoders do not say to
    what: these are only told apart by their width.

    Args:
        path: a checkpoint.
        acts: what it is used with.
        shard: a file of these, for the message.

    Raises:
        ValueError: the encoder, its weights, its preprocessing or the layer differ.
    """
    settings = checkpoint.read_settings(path)
    if "fitted_to" in settings:
        fitted = MadeWith(str(path), settings["fitted_to"], settings.get("layer"))
        check_same_encoder(fitted, MadeWith(str(shard), acts.attributes, acts.layer))
    elif settings.get("method") != "gaussian":
        logging.info(
            "%s does not say which encoder it was fitted to: nothing but its width is "
            "compared with %s",
            *(path, shard),
        )
