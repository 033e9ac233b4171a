"""Prototypes are only used with activations of the encoder that they were fitted to."""

import logging
from pathlib import Path

from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint
from vitproto.prototypes.checkpoint import FittedRun
from vitproto.prototypes.scorer import Scorer


def check_fitted_to(path: Path | str, acts: Activations, shard: Path) -> None:
    """Refuse prototypes fitted to other activations; their data set may differ.

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


def load_scorer(fit: FittedRun, acts: Activations, shard: Path) -> Scorer:
    """Read the prototypes of a run, for activations like those they were fitted to.

    Args:
        fit: the run.
        acts: what they are to score.
        shard: a file of these, for messages.

    Raises:
        ValueError: the file is damaged, or it takes activations of another encoder,
            layer or width.
    """
    check_fitted_to(fit.path, acts, shard)
    scorer = checkpoint.load(fit.path)
    if scorer.width != acts.width:
        raise ValueError(
            f"{fit.path} scores activations of width {scorer.width}, but those in "
            f"{shard} have {acts.width}: name shards of the encoder that they were "
            "fitted to"
        )
    return scorer
