"""Check keys that belong together, in all sections but runs and segmentation."""

from collections.abc import Iterator, Mapping
from typing import Any

from vitproto.study.imported import DIRECTIONS, imported_method
from vitproto.study.problems import METHODS, Config, Problem
from vitproto.study.sae_rules import impossible_settings

SECTION_OF_LAYOUT = {
    **dict.fromkeys(("cub200", "table"), "selection"),
    "ade20k": "segmentation",
}
"""The section that a study must have, by the layout of its labelled data set: trait
labels serve to select prototypes, masks to segment."""

DRAWN_COUNTS = {
    "cub200": ("n_images_per_species",),
    "image_folder": ("n_images_per_species",),
    "ade20k": ("n_training", "n_validation"),
}
"""The keys that say how many images to draw, by layout."""

LARGEST = 2**63

FLOATS = (1.2e-38, 3.4e38)
"""Smallest and largest size of a normal float32, rounded inwards."""

ROUGHLY = 1.1
"""Users say roughly how many images they have: what needs fewer is not refused."""


def check_sections(config: Config) -> Iterator[Problem]:
    """The problems of data sets, encoders, methods and storage."""
    yield from _check_datasets(config)
    yield from _check_encoders(config["encoders"])
    yield from _check_saes(config["methods"]["saes"])
    yield from _check_imported(config["methods"])
    yield from _check_storage(config)
    yield from _check_numbers(config)
    if "selection" in config:
        yield from _check_labels(config["selection"]["labels"])
        yield from _check_n_train(config)


def _check_numbers(value: Any) -> Iterator[Problem]:
    """Tables hold whole numbers of 64 bits; models compute in float32."""
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        if isinstance(value, int) and abs(value) >= LARGEST:
            yield Problem((), f"{value} is too large: write less than 2**63")
        if isinstance(value, float) and value != 0:
            smallest, largest = FLOATS
            if not smallest <= abs(value) <= largest:
                text = f"{value} is outside float32: write {smallest:g} to {largest:g}"
                yield Problem((), text)
        return
    for key, item in inner:
        for problem in _check_numbers(item):
            yield problem.within(key)


def _check_labels(labels: Mapping[str, Any]) -> Iterator[Problem]:
    """An answer is either present or unknown."""
    for certainty in sorted({*labels["present"]} & {*labels["unknown"]}):
        text = f"{certainty} stands in present too: write it in one of the two lists"
        yield Problem(("selection", "labels", "unknown"), text)


def _check_n_train(config: Config) -> Iterator[Problem]:
    """No more images can choose prototypes than there are.

    The lists, which are made later, say exactly how many are for training.
    """
    n_images = count_images(config["datasets"].get(config["dataset"], {}))
    if n_images is None:
        return
    for i, n_train in enumerate(config["selection"]["n_train"]):
        if n_train != "all" and n_train > ROUGHLY * n_images:
            text = (
                f"is {n_train}, but {config['dataset']} has {n_images} images: write "
                "a smaller number, or all"
            )
            yield Problem(("selection", "n_train", i), text)


def count_images(dataset: Mapping[str, Any]) -> int | None:
    """Roughly the images of a data set; None if its section does not say."""
    draw = dataset.get("draw", {})
    if {"n_species", "n_images_per_species"} <= draw.keys():
        return draw["n_species"] * draw["n_images_per_species"]
    if {"n_training", "n_validation"} <= draw.keys():
        return draw["n_training"] + draw["n_validation"]
    return dataset.get("n_images")


def _check_n_shards(dataset: Mapping[str, Any]) -> Iterator[Problem]:
    """Each shard holds an image at least."""
    n_images, n_shards = count_images(dataset), dataset["n_shards"]
    if n_images is not None and n_shards > ROUGHLY * n_images:
        text = f"is {n_shards}, more than the data set's {n_images} images: lower it"
        yield Problem(("n_shards",), text)


def _check_datasets(config: Config) -> Iterator[Problem]:
    datasets = config["datasets"]
    for role in ("dataset", "fit_dataset"):
        if config[role] not in datasets:
            known = ", ".join(datasets)
            yield Problem(
                (role,), f"{config[role]!r} is not among datasets: write {known}"
            )
    labelled = datasets.get(config["dataset"])
    if labelled is not None:
        yield from _check_question(config, labelled["layout"])
    for name, dataset in datasets.items():
        yield from _check_drawing(name, dataset)
        yield from _check_table(name, dataset)
        for problem in _check_n_shards(dataset):
            yield problem.within("datasets", name)
        if ("root" in dataset) == ("draw" in dataset):
            text = "needs root (its folder) or draw, not both"
            yield Problem(("datasets", name), text)
        elif ("root" in dataset) != ("n_images" in dataset):
            text = "needs n_images, roughly how many images it has, to plan the disk"
            if "draw" in dataset:
                text = "has n_images, but draw says how many it draws: leave it out"
            yield Problem(("datasets", name), text)


def _check_question(config: Config, layout: str) -> Iterator[Problem]:
    """The study must ask for what the labels can answer."""
    if layout not in SECTION_OF_LAYOUT:
        known = " or ".join(SECTION_OF_LAYOUT)
        text = f"{config['dataset']!r} has no labels: its layout is not {known}"
        yield Problem(("dataset",), text)
        return
    own = SECTION_OF_LAYOUT[layout]
    if own not in config:
        text = f"lacks {own}, which a data set of layout {layout} is for"
        yield Problem((), text)
    for section in dict.fromkeys(SECTION_OF_LAYOUT.values()):
        if section != own and section in config:
            layouts = [k for k, v in SECTION_OF_LAYOUT.items() if v == section]
            text = f"is for a data set of layout {' or '.join(layouts)}, and the "
            yield Problem(
                (section,),
                f"{text}layout of {config['dataset']} is {layout}: leave it out",
            )


def _check_table(name: str, dataset: Mapping[str, Any]) -> Iterator[Problem]:
    """Only a data set of layout `table` has one, and its own files."""
    path, is_table = ("datasets", name), dataset["layout"] == "table"
    if is_table and "table" not in dataset:
        text = "needs table, the CSV file with its traits, as its layout is table"
        yield Problem(path, text)
    if not is_table and "table" in dataset:
        text = f"is for layout table, and the layout is {dataset['layout']}: leave it "
        yield Problem((*path, "table"), text + "out")
    if is_table and "draw" in dataset:
        text = "draws no data set of layout table: write root, its folder of images"
        yield Problem((*path, "draw"), text)


def _check_drawing(name: str, dataset: Mapping[str, Any]) -> Iterator[Problem]:
    if "draw" not in dataset or dataset["layout"] not in DRAWN_COUNTS:
        return
    needed = DRAWN_COUNTS[dataset["layout"]]
    for key in dict.fromkeys(key for keys in DRAWN_COUNTS.values() for key in keys):
        if (key in dataset["draw"]) != (key in needed):
            verb = "needs" if key in needed else "has no use for"
            text = f"a data set of layout {dataset['layout']} {verb} {key}: write "
            yield Problem(("datasets", name, "draw"), text + " and ".join(needed))
            return


def _check_encoders(encoders: Mapping[str, Any]) -> Iterator[Problem]:
    for name, encoder in encoders.items():
        last = encoder["n_blocks"] - 1
        for i, layer in enumerate(encoder["layers"]):
            if layer > last:
                yield Problem(
                    ("encoders", name, "layers", i),
                    f"{layer} is not a layer of {name}: write one of 0 to {last}",
                )
    for name, encoder in encoders.items():
        if encoder["image_size"] % encoder["patch_size"]:
            yield Problem(
                ("encoders", name, "patch_size"),
                f"{encoder['patch_size']} pixels do not divide an image of "
                f"{encoder['image_size']}: write the side of a patch",
            )


def _check_saes(saes: Mapping[str, Any]) -> Iterator[Problem]:
    for name, settings in saes.items():
        path = ("methods", "saes", name)
        if name in METHODS:
            text = f"{name} is the name of another method: choose another"
            yield Problem(path, text)
        if (settings["prefixes"] == "none") != (settings["n_prefixes"] == 1):
            yield Problem(
                (*path, "n_prefixes"),
                f"{settings['n_prefixes']} does not go with prefixes: "
                f"{settings['prefixes']}: write 1 with none, 2 or more with fixed or "
                "random",
            )
        activation = settings["activation"]
        learns_thresholds = activation in ("batchtopk", "jumprelu")
        if learns_thresholds and settings["trains"] == "nothing":
            yield Problem(
                (*path, "activation"),
                f"{activation} learns thresholds in training, and this trains nothing: "
                "write topk",
            )
        if "topk" in activation and settings["n_sparsity_warmup"] > 0:
            yield Problem(
                (*path, "n_sparsity_warmup"),
                f"{activation} has no weight of sparsity to warm up: write 0",
            )
        for key in ("l0_weight", "bandwidth"):
            if activation != "jumprelu" and settings[key] > 0:
                text = f"{activation} learns no thresholds from it: write 0"
                yield Problem((*path, key), text)
        for key, text in impossible_settings(settings):
            yield Problem((*path, key), text)


def _check_imported(methods: Mapping[str, Any]) -> Iterator[Problem]:
    for name, said in methods["imported"].items():
        path = ("methods", "imported", name)
        if name in METHODS or name in methods["saes"]:
            text = f"{name} is the name of another method: choose another"
            yield Problem(path, text)
        if isinstance(said, str):
            continue
        if said.get("scaling") == {}:
            text = "is empty: write mean, norm or both, or leave scaling out"
            yield Problem((*path, "scaling"), text)
        imported = imported_method({"methods": methods}, name)
        if said.get("holds") == "directions" and imported.file.suffix not in (
            *DIRECTIONS,
            ".safetensors",
        ):
            text = f"{said['file']} is none of {', '.join(DIRECTIONS)} and .safetensors"
            yield Problem((*path, "file"), text)
        if said.get("holds") == "autoencoder" and imported.has_directions:
            text = f"is autoencoder, but {said['file']} holds directions: leave it out"
            yield Problem((*path, "holds"), text)
        if imported.has_directions or imported.file.suffix == ".safetensors":
            for key in said.keys() - {"file", "holds"}:
                text = (
                    f"is for a sae.pt, and {said['file']} says itself how it is read: "
                    "leave it out"
                )
                yield Problem((*path, key), text)


def _check_storage(config: Config) -> Iterator[Problem]:
    """Only studies that select prototypes make scores."""
    has_scores = "scores" in config["storage"]
    if "selection" in config and not has_scores:
        text = "lacks scores, the folder for the scores of all images"
        yield Problem(("storage",), text)
    if "selection" not in config and has_scores:
        text = "is for studies with selection: leave it out"
        yield Problem(("storage", "scores"), text)
