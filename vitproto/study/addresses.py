"""Names of folders for large files in storage that studies and checkouts share.

A name is a digest of the settings that decide what the files hold, without the places
of data and weights. So a dry run knows it without either, and studies with different
settings do not overwrite each other's files. What only the files themselves can tell,
such as the weights, is noted beside the results and compared there.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitproto.study.family import Family
from vitproto.study.imported import imported_method

Config = Mapping[str, Any]

N_DIGITS = 8


def of_activations(config: Config, dataset: str, encoder: str) -> str:
    """Digest of the settings that decide a data set's activations.

    Data and weights may lie anywhere: moving them moves no activations. But the folder
    of `local-dir:` is part of the model's name.
    """
    images = config["datasets"][dataset]
    model = dict(config["encoders"][encoder])
    model["weights"] = Path(model["weights"]).name
    settings = {
        "layout": images["layout"],
        "draw": images.get("draw"),
        "encoder": model,
        "record": config["record"],
    }
    return _digits(settings)


def of_scores(config: Config, family: Family, runs: Sequence[str]) -> str:
    """Digest of the settings that decide a family's scores."""
    methods = config["methods"]
    is_trained = family.method in methods["saes"]
    settings = {
        "scored": of_activations(config, config["dataset"], family.encoder),
        "fitted": of_activations(config, config["fit_dataset"], family.encoder),
        "family": family,
        "runs": list(runs),
        "kmeans": methods["kmeans"] if family.method.startswith("kmeans") else None,
        "sae": methods["saes"].get(family.method),
        "imported": _name_of_imported(config, family.method),
        "held_out_every": config["held_out"]["every"] if is_trained else None,
    }
    return _digits(settings)


def _name_of_imported(config: Config, method: str) -> str:
    """The file of an imported method, and how it is read; empty for others."""
    if method not in config["methods"]["imported"]:
        return ""
    sae = imported_method(config, method)
    mean = None if sae.mean is None else sae.mean.name
    said = (sae.subtract_b_dec_before_encoding, mean, sae.norm)
    is_said = any(part is not None for part in said)
    if sae.has_directions:
        return f"directions in {sae.file.name}"
    return " ".join(map(str, (sae.file.name, *said))) if is_said else sae.file.name


def _digits(settings: Mapping[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]
