"""Check the segmentation section against encoders, methods and runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vitproto.study.imported import is_imported_sae
from vitproto.study.problems import Config, Problem
from vitproto.study.run_table import StudyRun, expand_runs


def check_segmentation(config: Config) -> Iterator[Problem]:
    """The problems of the section segmentation."""
    segmentation = config["segmentation"]
    name, layer = segmentation["encoder"], segmentation["layer"]
    if name not in config["encoders"]:
        known = ", ".join(config["encoders"])
        yield Problem(
            ("segmentation", "encoder"),
            f"{name!r} is not among encoders: write {known}",
        )
        return
    recorded = config["encoders"][name]["layers"]
    if layer not in recorded:
        yield Problem(
            ("segmentation", "layer"),
            f"{name} records no layer {layer}: add it to encoders.{name}.layers, now "
            f"{recorded}",
        )
    table = expand_runs(config["runs"], config["encoders"])
    of_encoder = [run for run in table if run.encoder == name]
    imported = config["methods"]["imported"]
    methods = [
        *config["methods"]["saes"],
        *(name for name in imported if is_imported_sae(config, name)),
    ]
    earlier = set()
    for i_row, row in enumerate(segmentation["saes"]):
        sae = (row["layer"], row["method"], row["run"])
        problem = _check_sae(row, layer, of_encoder, methods)
        if problem is not None:
            yield problem.within("segmentation", "saes", i_row)
        elif sae in earlier:
            text = "repeats another row of saes"
            yield Problem(("segmentation", "saes", i_row), text)
        earlier.add(sae)
    ranking = segmentation["ranking"]
    if ranking["n_chosen"] > ranking["n_ranked"]:
        yield Problem(
            ("segmentation", "ranking", "n_chosen"),
            f"is {ranking['n_chosen']}, but only {ranking['n_ranked']} "
            "latents of a class are ranked: raise n_ranked or lower n_chosen",
        )
    suppression = segmentation["suppression"]
    if suppression["dose"] not in suppression["doses"]:
        yield Problem(
            ("segmentation", "suppression", "dose"),
            f"{suppression['dose']} is not among doses: add it, or write one of "
            f"{suppression['doses']}",
        )


def _check_sae(
    row: Mapping[str, Any],
    probe_layer: int,
    of_encoder: Sequence[StudyRun],
    methods: Sequence[str],
) -> Problem | None:
    """The first problem of an autoencoder whose latents are suppressed."""
    if row["method"] not in methods:
        return Problem(
            ("method",),
            f"{row['method']!r} is not an autoencoder, so nothing can be suppressed: "
            f"write {', '.join(methods)}",
        )
    if row["layer"] > probe_layer:
        return Problem(
            ("layer",),
            f"layer {row['layer']} comes after the probes' layer {probe_layer}, which "
            "it cannot change: write an earlier one, or the same",
        )
    runs = {
        run.run.name: run.run
        for run in of_encoder
        if (run.layer, run.method) == (row["layer"], row["method"])
    }
    if row["run"] not in runs:
        known = ", ".join(runs) or "one that runs has for this layer and method"
        text = f"{row['run']!r} is not among runs: write {known}"
        return Problem(("run",), text)
    for label, latents in row["classes"].items():
        if not isinstance(label, int) or label < 1:
            return Problem(
                ("classes", label),
                f"{label!r} is not a label: write whole numbers from 1, as masks have",
            )
        for latent in latents:
            if latent >= runs[row["run"]].n_prototypes:
                return Problem(
                    ("classes", label),
                    f"{latent} is not a latent of {row['run']}: write numbers from 0 "
                    f"to {runs[row['run']].n_prototypes - 1}",
                )
    return None
