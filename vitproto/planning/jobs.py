"""Which jobs a study is made of: the ones that Snakemake shows for an empty folder."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vitproto.activations.fetched import needs_hub
from vitproto.study.addresses import of_activations, of_scores
from vitproto.study.run_table import Family, expand_runs, families

FIT_STAGES = {
    "random": "fit_random",
    "randomtrain": "fit_randomtrain",
    "gaussian": "fit_gaussian",
    "kmeans": "fit_kmeans",
    "kmeansdistance": "fit_kmeans",
    "pca": "fit_pca",
}
"""The stage of each method that is no autoencoder."""

NEEDS_NO_FIT_DATASET = ("randomtrain", "gaussian")
"""Methods that, like imported ones, use the evaluated data set alone."""

GPU_STAGES = (
    *("record_activations", "fit_sae", "evaluate_saes"),
    *("score_images", "show_features"),
    *("train_probes", "evaluate_probes", "find_class_directions"),
    *("find_class_latents", "suppress_latents", "show_suppression"),
)
"""Stages that use a GPU where there is one."""

REPORT_STAGES = (
    *("tabulate_map", "plot_map", "compare_layers", "compare_encoders"),
    *("compare_groups", "write_map_page"),
)
SEGMENTATION_REPORT_STAGES = (
    *("tabulate_probes", "plot_suppression", "tabulate_suppression"),
    "write_suppression_page",
)
SAE_REPORT_STAGES = (
    *("tabulate_saes", "plot_sae_training", "plot_sae_front"),
    "plot_sae_frequencies",
)
"""What is made of the whole study, in one job each: of traits, of segmentation, and
of either where there are SAEs."""

SUPPRESSION_STAGES = ("find_class_latents", "suppress_latents", "show_suppression")
"""For each autoencoder whose latents are suppressed."""

DATA_STAGES = {
    "cub200": ("draw_demo_birds", "list_cub200"),
    "image_folder": ("draw_demo_corpus", "list_image_folder"),
    "ade20k": ("draw_demo_scenes", "list_ade20k"),
}
"""What draws and what lists a data set, by its layout."""


class Job(NamedTuple):
    """One run of a stage."""

    stage: str
    wildcards: dict[str, str]
    """What tells it from the stage's other jobs: the wildcards of its rule."""


def study_jobs(config: Mapping[str, Any]) -> list[Job]:
    """All jobs from raw images to the last chart, each after those that it needs.

    Args:
        config: a checked study.
    """
    return list(_jobs(config))


def fit_stage(method: str, config: Mapping[str, Any]) -> str:
    """The stage that makes the prototypes of a method."""
    if method in FIT_STAGES:
        return FIT_STAGES[method]
    return "fit_sae" if method in config["methods"]["saes"] else "import_sae"


def _jobs(config: Mapping[str, Any]) -> Iterator[Job]:
    evaluated, fitted = config["dataset"], config["fit_dataset"]
    among = families(expand_runs(config["runs"], config["encoders"]))
    saes = [family for family in among if family.method in config["methods"]["saes"]]
    recorded = {(evaluated, family.encoder): None for family in among}
    segmentation = config.get("segmentation")
    if segmentation is not None:
        recorded[evaluated, segmentation["encoder"]] = None
    for family in among:
        imported = family.method in config["methods"]["imported"]
        if family.method not in NEEDS_NO_FIT_DATASET and not imported:
            recorded[fitted, family.encoder] = None
    for name in dict.fromkeys(dataset for dataset, _ in recorded):
        draw, list_images = DATA_STAGES[config["datasets"][name]["layout"]]
        if "draw" in config["datasets"][name]:
            yield Job(draw, {"dataset": name})
        yield Job(list_images, {"dataset": name})
    if segmentation is None:
        yield Job("read_traits", {"dataset": evaluated})
    for encoder in dict.fromkeys(encoder for _, encoder in recorded):
        about = config["encoders"][encoder]
        if needs_hub(about["model"], about["checkpoint"]):
            yield Job("fetch_weights", {"encoder": encoder})
    for name, encoder in recorded:
        n_shards = config["datasets"][name]["n_shards"]
        for i_shard in range(n_shards):
            place = {
                "address": of_activations(config, name, encoder),
                "i_shard": f"{i_shard:05d}",
                "n_shards": f"{n_shards:05d}",
            }
            yield Job(
                "record_activations", {"dataset": name, "encoder": encoder, **place}
            )
    for family in among:
        yield Job(fit_stage(family.method, config), _wildcards(family))
    for family in saes:
        yield Job("evaluate_saes", _wildcards(family))
    if segmentation is None:
        for family, runs in among.items():
            address = of_scores(config, family, [run.name for run in runs])
            yield Job("score_images", {**_wildcards(family), "address": address})
        for family in among:
            yield Job("select_prototypes", _wildcards(family))
    else:
        yield from _segmentation_jobs(segmentation)
    for row in config["features"]["runs"]:
        yield Job("show_features", {key: str(value) for key, value in row.items()})
    report = REPORT_STAGES if segmentation is None else SEGMENTATION_REPORT_STAGES
    for stage in (*report, *(SAE_REPORT_STAGES if saes else ())):
        yield Job(stage, {})


def _segmentation_jobs(segmentation: Mapping[str, Any]) -> Iterator[Job]:
    for stage in ("label_patches", "train_probes", "evaluate_probes"):
        yield Job(stage, {})
    encoder = segmentation["encoder"]
    for layer in dict.fromkeys(str(sae["layer"]) for sae in segmentation["saes"]):
        yield Job("find_class_directions", {"encoder": encoder, "layer": layer})
    for stage in SUPPRESSION_STAGES:
        for sae in segmentation["saes"]:
            place = {key: str(sae[key]) for key in ("layer", "method", "run")}
            yield Job(stage, {"encoder": encoder, **place})


def _wildcards(family: Family) -> dict[str, str]:
    return {key: str(value) for key, value in family._asdict().items()}
