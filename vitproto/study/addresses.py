"""Where large files lie in storage that studies and checkouts share.

Folders are named by what the configuration says, but for where data and weights lie, so
that a dry run knows them without either, and studies that say different things do not
overwrite each other's files. What only the files can say, such as the weights
themselves, stands in the notes beside results and in the results, and is compared
there.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitproto.study.family import Family

Config = Mapping[str, Any]

N_DIGITS = 8


def of_activations(config: Config, dataset: str, encoder: str) -> str:
    """What the configuration says of a data set's activations, in a few digits.

    Not where data and weights lie: moving them moves no activations. The folder of
    `local-dir:` is part of the model's name.
    """
    images = config["datasets"][dataset]
    model = dict(config["encoders"][encoder])
    model["weights"] = Path(model["weights"]).name
    said = {
        "layout": images["layout"],
        "draw": images.get("draw"),
        "encoder": model,
        "record": config["record"],
    }
    return _digits(said)


def of_scores(config: Config, family: Family, runs: Sequence[str]) -> str:
    """What the configuration says of a family's scores, in a few digits."""
    methods = config["methods"]
    is_trained = family.method in methods["saes"]
    said = {
        "scored": of_activations(config, config["dataset"], family.encoder),
        "fitted": of_activations(config, config["fit_dataset"], family.encoder),
        "family": family,
        "runs": list(runs),
        "kmeans": methods["kmeans"] if family.method.startswith("kmeans") else None,
        "sae": methods["saes"].get(family.method),
        "imported": Path(methods["imported"].get(family.method, "")).name,
        "held_out_every": config["held_out"]["every"] if is_trained else None,
    }
    return _digits(said)


def _digits(said: Mapping[str, Any]) -> str:
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]
