"""Refuse to use prototypes with the activations of another encoder."""

import logging
from pathlib import Path

from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint
from vitproto.prototypes.checkpoint import FittedRun
from vitproto.prototypes.scorer import Scorer


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
