"""Which jobs a study is made of: the ones that Snakemake shows for an empty folder."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vitproto.study.runs import Family, expand_runs, families

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
)
"""Stages that use a GPU where there is one."""

REPORT_STAGES = (
    *("tabulate_map", "plot_map", "compare_layers", "compare_encoders"),
    *("compare_groups", "write_map_page"),
)
SAE_REPORT_STAGES = (
    *("tabulate_saes", "plot_sae_training", "plot_sae_front"),
    "plot_sae_frequencies",
)
"""What is made of the whole study, in one job each; the second only with SAEs."""


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
    among = list(families(expand_runs(config["runs"], config["encoders"])))
    saes = [family for family in among if family.method in config["methods"]["saes"]]
    recorded = {(evaluated, family.encoder): None for family in among}
    for family in among:
        imported = family.method in config["methods"]["imported"]
        if family.method not in NEEDS_NO_FIT_DATASET and not imported:
            recorded[fitted, family.encoder] = None
    for name in dict.fromkeys(dataset for dataset, _ in recorded):
        dataset = config["datasets"][name]
        is_cub = dataset["layout"] == "cub200"
        if "draw" in dataset:
            yield Job(
                "draw_demo_birds" if is_cub else "draw_demo_corpus", {"dataset": name}
            )
        yield Job("list_cub200" if is_cub else "list_image_folder", {"dataset": name})
    yield Job("read_traits", {"dataset": evaluated})
    for name, encoder in recorded:
        n_shards = config["datasets"][name]["n_shards"]
        for i_shard in range(n_shards):
            place = {"i_shard": f"{i_shard:05d}", "n_shards": f"{n_shards:05d}"}
            yield Job(
                "record_activations", {"dataset": name, "encoder": encoder, **place}
            )
    for family in among:
        yield Job(fit_stage(family.method, config), _wildcards(family))
    for family in saes:
        yield Job("evaluate_saes", _wildcards(family))
    for stage in ("score_images", "select_prototypes"):
        for family in among:
            yield Job(stage, _wildcards(family))
    for row in config["features"]["runs"]:
        yield Job("show_features", {key: str(value) for key, value in row.items()})
    for stage in (*REPORT_STAGES, *(SAE_REPORT_STAGES if saes else ())):
        yield Job(stage, {})


def _wildcards(family: Family) -> dict[str, str]:
    return {key: str(value) for key, value in family._asdict().items()}
