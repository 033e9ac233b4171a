"""Is a study's configuration one that can be run? Checked before any job."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from vitproto.core.project import PROJECT
from vitproto.study.run_table import Family, StudyRun, expand_runs

METHODS = (
    *sorted(
        {f.stem.removeprefix("fit_") for f in (PROJECT / "scripts").glob("fit_*.py")}
        - {"sae"}
    ),
    "randomtrain",
    "kmeansdistance",
)
"""Ways of choosing prototypes; the SAEs that a study names or imports come besides."""

QUESTIONS = {"cub200": "selection", "ade20k": "segmentation"}
"""What is asked about the evaluated data set, by its layout: the section that a study
has for it. Which prototypes find traits, or which latents segmentation relies on."""

Config = Mapping[str, Any]
KeyPath = tuple[str | int, ...]


def check(config: Config, schema: Path, files: Sequence[Path]) -> None:
    """Refuse a configuration that cannot be meant.

    Args:
        config: the study, as merged from files and command line.
        schema: a JSON schema, written in YAML.
        files: the YAML files that the study was read from, the last one wins; they
            only serve to name lines.

    Raises:
        ValueError: one line for each thing that is wrong: where it stands, what it
            says, what to write instead.
    """
    lines = _key_lines(files)
    validator = Draft202012Validator(yaml.safe_load(schema.read_text()))
    errors = sorted(
        validator.iter_errors(config),
        key=lambda error: list(map(str, error.absolute_path)),
    )
    # jsonschema complains once for each key that a section lacks; once is enough.
    problems = list(dict.fromkeys(p for error in errors for p in _in_words(error)))
    # Combinations can only be judged once each part is of the right kind.
    if not problems:
        problems = list(_impossible_combinations(config))
    if problems:
        raise ValueError(
            "\n".join(f"{_place(path, lines)}: {text}" for path, text in problems)
        )


def _in_words(error: ValidationError) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong and what to write instead, for each thing an error covers."""
    path = tuple(error.absolute_path)
    schema = error.schema
    if error.validator == "additionalProperties":
        known = sorted(schema["properties"])
        for key in sorted(set(error.instance) - set(known), key=str):
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = (
                f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            )
            yield (*path, key), f"is no known key: {hint}"
    elif error.validator == "required":
        missing = [key for key in schema["required"] if key not in error.instance]
        yield path, f"lacks {', '.join(missing)}"
    elif "propertyNames" in error.schema_path:
        yield (*path, error.instance), f"is not {schema['description']}"
    else:
        text = f"{error.instance!r} is not {schema['description']}"
        yield path, text + _yaml_hint(error.instance)


def _yaml_hint(value: object) -> str:
    """YAML reads some numbers, such as 1e-4, as text; say how to write them."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None:
        return ""
    digits = f"{number:.12f}".rstrip("0").rstrip(".")
    return f": YAML reads {value} as text, write {digits} without quotes"


def _impossible_combinations(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """Settings that are right one by one, but not together."""
    yield from _impossible_datasets(config)
    yield from _impossible_layers(config["encoders"])
    yield from _impossible_patches(config["encoders"])
    yield from _impossible_saes(config["methods"]["saes"])
    yield from _impossible_imports(config["methods"])
    yield from _impossible_storage(config)
    runs_problems = list(_impossible_runs(config))
    yield from runs_problems
    if not runs_problems:
        yield from _impossible_features(config)
        if "segmentation" in config:
            yield from _impossible_segmentation(config)


def _impossible_datasets(config: Config) -> Iterator[tuple[KeyPath, str]]:
    datasets = config["datasets"]
    for role in ("dataset", "fit_dataset"):
        if config[role] not in datasets:
            known = ", ".join(datasets)
            yield (role,), f"{config[role]!r} is not among datasets: write {known}"
    evaluated = datasets.get(config["dataset"])
    if evaluated is not None:
        yield from _impossible_question(config, evaluated["layout"])
    for name, dataset in datasets.items():
        yield from _impossible_drawing(name, dataset)
        if ("root" in dataset) == ("draw" in dataset):
            yield ("datasets", name), "needs root (its folder) or draw, not both"
        elif ("root" in dataset) != ("n_images" in dataset):
            text = "needs n_images, roughly how many images it has, to plan the disk"
            if "draw" in dataset:
                text = "has n_images, but draw says how many it draws: leave it out"
            yield ("datasets", name), text


def _impossible_question(config: Config, layout: str) -> Iterator[tuple[KeyPath, str]]:
    """What is asked must be something that the evaluated images are labelled for."""
    if layout not in QUESTIONS:
        known = " or ".join(QUESTIONS)
        text = f"{config['dataset']!r} has no labels: its layout is not {known}"
        yield ("dataset",), text
        return
    for asked, section in QUESTIONS.items():
        if asked == layout and section not in config:
            yield (), f"lacks {section}, which a data set of layout {layout} is for"
        if asked != layout and section in config:
            text = f"is for a data set of layout {asked}, and the layout of "
            yield (section,), f"{text}{config['dataset']} is {layout}: leave it out"


def _impossible_storage(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """Scores are made where prototypes are selected, and only there."""
    has_scores = "scores" in config["storage"]
    if "selection" in config and not has_scores:
        yield ("storage",), "lacks scores, the folder for the scores of all images"
    if "selection" not in config and has_scores:
        yield ("storage", "scores"), "is for studies with selection: leave it out"


def _impossible_drawing(
    name: str, dataset: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, str]]:
    """Images to draw are counted by split, or by species."""
    if "draw" not in dataset:
        return
    is_split = dataset["layout"] == "ade20k"
    needed = ["n_training", "n_validation"] if is_split else ["n_images_per_species"]
    counts = ("n_images_per_species", "n_training", "n_validation")
    for key in counts:
        if (key in dataset["draw"]) != (key in needed):
            verb = "needs" if key in needed else "has no use for"
            text = f"a data set of layout {dataset['layout']} {verb} {key}: write "
            yield ("datasets", name, "draw"), f"{text}{' and '.join(needed)}"
            return


def _impossible_layers(encoders: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for name, encoder in encoders.items():
        last = encoder["n_blocks"] - 1
        for i, layer in enumerate(encoder["layers"]):
            if layer > last:
                place = ("encoders", name, "layers", i)
                yield place, f"{layer} is no layer of {name}: write one of 0 to {last}"


def _impossible_patches(encoders: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for name, encoder in encoders.items():
        if encoder["image_size"] % encoder["patch_size"]:
            yield (
                ("encoders", name, "patch_size"),
                f"{encoder['patch_size']} pixels do not divide an image of "
                f"{encoder['image_size']}: write the side of a patch",
            )


def _impossible_saes(saes: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for name, settings in saes.items():
        place = ("methods", "saes", name)
        if name in METHODS:
            yield place, f"{name} is the name of another method: choose another"
        if (settings["prefixes"] == "none") != (settings["n_prefixes"] == 1):
            yield (
                (*place, "n_prefixes"),
                f"{settings['n_prefixes']} does not go with prefixes: "
                f"{settings['prefixes']}: write 1 with none, 2 or more with fixed or "
                "random",
            )
        if settings["activation"] == "batchtopk" and settings["trains"] == "nothing":
            yield (
                (*place, "activation"),
                "batchtopk learns its threshold in training, and this trains nothing: "
                "write topk",
            )
        if settings["activation"] != "relu" and settings["n_sparsity_warmup"] > 0:
            yield (
                (*place, "n_sparsity_warmup"),
                f"{settings['activation']} has no weight of sparsity to warm up: "
                "write 0",
            )


def _impossible_imports(methods: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for name in methods["imported"]:
        if name in METHODS or name in methods["saes"]:
            yield (
                ("methods", "imported", name),
                f"{name} is the name of another method: choose another",
            )


def _impossible_runs(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """At most one problem a row: that is enough to read."""
    first_row: dict[StudyRun, int] = {}
    for i_row, row in enumerate(config["runs"]):
        problem = (
            next(_unknown_names(row, config), None)
            or next(_wrong_keys(row, config["methods"]["saes"]), None)
            or next(_impossible_members(row, config), None)
        )
        if problem is not None:
            key, text = problem
            yield ("runs", i_row, key), text
            continue
        for run in expand_runs([row], config["encoders"]):
            if run in first_row:
                yield ("runs", i_row), f"repeats {run} of runs.{first_row[run]}"
                break
            first_row[run] = i_row


def _unknown_names(row: Mapping[str, Any], config: Config) -> Iterator[tuple[str, str]]:
    for key, known in (
        ("encoder", list(config["encoders"])),
        ("method", _methods(config["methods"])),
    ):
        for name in _values(row, key):
            if name not in known:
                place = {"encoder": "encoders", "method": "the methods"}[key]
                text = f"{name!r} is not among {place}: write {', '.join(known)}"
                yield key, text


def _methods(methods: Mapping[str, Any]) -> list[str]:
    return [*METHODS, *methods["saes"], *methods["imported"]]


def _wrong_keys(
    row: Mapping[str, Any], saes: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Keys that a method needs, or has no use for."""
    for method in _values(row, "method"):
        is_sae = method in saes
        is_trained = is_sae and saes[method]["trains"] != "nothing"
        for key, needed in (("learning_rate", is_trained), ("sparsity", is_sae)):
            if needed and key not in row:
                yield "method", f"{method} needs {key}: add it to this row"
            if not needed and key in row:
                yield key, f"{method} has no {key}: leave it out, in a row of its own"
        if ("n_prototypes" in row) == ("exp_factor" in row):
            yield (
                "method",
                "a run needs n_prototypes, or exp_factor (a multiple of the encoder's "
                "width), not both",
            )


def _impossible_members(
    row: Mapping[str, Any], config: Config
) -> Iterator[tuple[str, str]]:
    """Runs of a row that their encoder or method cannot make."""
    n_sample = config["methods"]["kmeans"]["n_sample"]
    for run in expand_runs([row], config["encoders"]):
        encoder = config["encoders"][run.encoder]
        n_prototypes, seed = run.run.n_prototypes, run.run.seed
        if run.layer not in encoder["layers"]:
            yield (
                "layer",
                f"{run.encoder} records no layer {run.layer}: add it to "
                f"encoders.{run.encoder}.layers, now {encoder['layers']}",
            )
        elif run.method == "pca" and seed != 0:
            yield (
                "seed",
                f"{seed} is no seed of pca, which draws nothing: write 0, in a row of "
                "its own",
            )
        elif run.method == "pca" and n_prototypes % 2:
            yield (
                "n_prototypes",
                f"{n_prototypes} is odd, but pca takes each component with both "
                "signs: write an even number",
            )
        elif run.method == "pca" and n_prototypes > 2 * encoder["width"]:
            yield (
                "n_prototypes",
                f"{n_prototypes} is more than the {2 * encoder['width']} prototypes "
                f"that pca can make of {run.encoder}'s width {encoder['width']}",
            )
        elif run.method in ("kmeans", "kmeansdistance") and n_prototypes > n_sample:
            yield (
                "n_prototypes",
                f"{n_prototypes} centres need at least as many patches: raise "
                f"methods.kmeans.n_sample, now {n_sample}",
            )
        elif run.method in config["methods"]["imported"] and seed != 0:
            yield (
                "seed",
                f"{seed} is no seed of {run.method}, which is imported: write 0, in a "
                "row of its own",
            )
        elif run.method in config["methods"]["saes"]:
            yield from _impossible_sae(run, config["methods"]["saes"][run.method])


def _impossible_sae(
    run: StudyRun, settings: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    sparsity, n_latents = run.run.sparsity, run.run.n_prototypes
    if settings["activation"] == "relu":
        return
    if sparsity != int(sparsity) or not 1 <= sparsity <= n_latents:
        yield (
            "sparsity",
            f"{sparsity:g} is not how many of {n_latents} latents of {run.method} can "
            f"be active: write a whole number from 1 to {n_latents}",
        )


def _impossible_features(config: Config) -> Iterator[tuple[KeyPath, str]]:
    features = config["features"]
    table = expand_runs(config["runs"], config["encoders"])
    for i_row, row in enumerate(features["runs"]):
        family = Family(row["encoder"], row["layer"], row["method"])
        of_family = {run.run.name: run.run for run in table if run.family == family}
        place = ("features", "runs", i_row)
        if not of_family:
            known = dict.fromkeys(
                f"{run.encoder} layer {run.layer} {run.method}" for run in table
            )
            yield (
                place,
                f"{row['encoder']} layer {row['layer']} {row['method']} is not among "
                f"runs: write {', '.join(known)}",
            )
        elif row["run"] not in of_family:
            yield (
                (*place, "run"),
                f"{row['run']!r} is no run of {row['encoder']} layer {row['layer']} "
                f"{row['method']}: write {', '.join(of_family)}",
            )
        elif row in features["runs"][:i_row]:
            yield place, f"repeats features.runs.{features['runs'].index(row)}"
        else:
            n_prototypes = of_family[row["run"]].n_prototypes
            for i, prototype in enumerate(features["listed"]):
                if prototype >= n_prototypes:
                    yield (
                        ("features", "listed", i),
                        f"{prototype} is no prototype of {row['method']} "
                        f"{row['run']}: write numbers from 0 to {n_prototypes - 1}",
                    )
    for key in ("log_freq_range", "log_value_range"):
        low, high = features[key]
        if low > high:
            yield ("features", key), f"{[low, high]} falls: write [{high}, {low}]"


def _impossible_segmentation(config: Config) -> Iterator[tuple[KeyPath, str]]:
    segmentation, table = config["segmentation"], config["runs"]
    name, layer = segmentation["encoder"], segmentation["layer"]
    if name not in config["encoders"]:
        known = ", ".join(config["encoders"])
        yield (
            ("segmentation", "encoder"),
            f"{name!r} is not among encoders: write {known}",
        )
        return
    recorded = config["encoders"][name]["layers"]
    if layer not in recorded:
        yield (
            ("segmentation", "layer"),
            f"{name} records no layer {layer}: add it to encoders.{name}.layers, now "
            f"{recorded}",
        )
    of_encoder = [
        run for run in expand_runs(table, config["encoders"]) if run.encoder == name
    ]
    methods = [*config["methods"]["saes"], *config["methods"]["imported"]]
    for i_row, row in enumerate(segmentation["saes"]):
        problem = _impossible_suppression(row, layer, of_encoder, methods)
        if problem is not None:
            key, text = problem
            yield ("segmentation", "saes", i_row, *key), text
        elif _place_of(row) in map(_place_of, segmentation["saes"][:i_row]):
            yield ("segmentation", "saes", i_row), "repeats another row of saes"
    suppression = segmentation["suppression"]
    if suppression["dose"] not in suppression["doses"]:
        yield (
            ("segmentation", "suppression", "dose"),
            f"{suppression['dose']} is not among doses: add it, or write one of "
            f"{suppression['doses']}",
        )


def _place_of(row: Mapping[str, Any]) -> tuple[int, str, str]:
    return row["layer"], row["method"], row["run"]


def _impossible_suppression(
    row: Mapping[str, Any],
    probe_layer: int,
    of_encoder: Sequence[StudyRun],
    methods: Sequence[str],
) -> tuple[KeyPath, str] | None:
    """The first thing that is wrong with an autoencoder to suppress latents of."""
    if row["method"] not in methods:
        return (
            ("method",),
            f"{row['method']!r} is no autoencoder, so nothing can be suppressed: write "
            f"{', '.join(methods)}",
        )
    if row["layer"] > probe_layer:
        return (
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
        return ("run",), f"{row['run']!r} is not among runs: write {known}"
    for label, latents in row["classes"].items():
        if not isinstance(label, int) or label < 1:
            return (
                ("classes", label),
                f"{label!r} is no label: write whole numbers from 1, as masks have",
            )
        for latent in latents:
            if latent >= runs[row["run"]].n_prototypes:
                return (
                    ("classes", label),
                    f"{latent} is no latent of {row['run']}: write numbers from 0 to "
                    f"{runs[row['run']].n_prototypes - 1}",
                )
    return None


def _values(row: Mapping[str, Any], key: str) -> list[Any]:
    return row[key] if isinstance(row[key], list) else [row[key]]


def missing_inputs(
    config: Config, datasets: set[str], encoders: set[str], imported: set[str]
) -> list[str]:
    """Which data sets and weights does a run need that are not there?

    Args:
        config: a checked study.
        datasets, encoders, imported: the ones that scheduled jobs read; `imported` are
            methods.

    Returns:
        One sentence each, that says which key to set.
    """
    missing = []
    for name in sorted(datasets):
        root = config["datasets"][name].get("root")
        if root is not None and not Path(root).is_dir():
            missing.append(
                f"the data set {name} is not at {root}: set datasets: {name}: root "
                "to its folder"
            )
    for name in sorted(encoders):
        encoder = config["encoders"][name]
        folder = encoder["model"].removeprefix("local-dir:")
        if folder != encoder["model"] and not Path(folder).is_dir():
            missing.append(
                f"the encoder {name} is not at {folder}: set encoders: {name}: model "
                "to local-dir:FOLDER"
            )
        file = encoder["checkpoint"]
        if file not in ("hub", "random") and not Path(file).is_file():
            missing.append(
                f"the weights of {name} are not at {file}: set encoders: {name}: "
                "checkpoint to the file, or to hub to fetch them"
            )
    for name in sorted(imported):
        file = config["methods"]["imported"][name]
        if not Path(file).is_file():
            missing.append(
                f"the autoencoder {name} is not at {file}: set methods: imported: "
                f"{name} to its file"
            )
    return missing


def _key_lines(files: Sequence[Path]) -> dict[KeyPath, tuple[Path, int]]:
    """Where does each key stand? Refuses a key that stands twice in a section."""
    lines: dict[KeyPath, tuple[Path, int]] = {}
    for file in files:
        root = yaml.compose(file.read_text(), Loader=yaml.CSafeLoader)
        if root is not None:  # an empty file has no keys
            lines |= {path: (file, line) for path, line in _walk(root, file)}
    return lines


def _walk(
    node: yaml.Node, file: Path, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ValueError(
                    f"{file}:{line}: {'.'.join(map(str, (*path, key.value)))} stands "
                    f"already in line {seen[key.value]}: keep one"
                )
            seen[key.value] = line
            yield from _walk(value, file, (*path, key.value))
            yield (*path, key.value), line
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _walk(item, file, (*path, i))


def _place(path: KeyPath, lines: Mapping[KeyPath, tuple[Path, int]]) -> str:
    """`file:line: key`, as exact as the files allow."""
    dotted = ".".join(map(str, path))
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            file, line = lines[path[:length]]
            return f"{file}:{line}: {dotted}"
    return dotted or "the study"
