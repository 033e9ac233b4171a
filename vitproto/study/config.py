"""Is a study's configuration one that can be run? Checked before any job."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from vitproto.study.runs import StudyRun, expand_runs

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
    yield from _impossible_runs(config["runs"], config["encoders"])
    yield from _impossible_methods(config["runs"], config["methods"])


def _impossible_datasets(config: Config) -> Iterator[tuple[KeyPath, str]]:
    datasets = config["datasets"]
    for role in ("dataset", "fit_dataset"):
        if config[role] not in datasets:
            known = ", ".join(datasets)
            yield (role,), f"{config[role]!r} is not among datasets: write {known}"
    evaluated = datasets.get(config["dataset"])
    if evaluated is not None and evaluated["layout"] != "cub200":
        yield (
            ("dataset",),
            f"{config['dataset']!r} has no traits: its layout is not cub200",
        )
    for name, dataset in datasets.items():
        if ("root" in dataset) == ("draw" in dataset):
            yield ("datasets", name), "needs root (its folder) or draw, not both"


def _impossible_layers(encoders: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for name, encoder in encoders.items():
        last = encoder["n_blocks"] - 1
        for i, layer in enumerate(encoder["layers"]):
            if layer > last:
                place = ("encoders", name, "layers", i)
                yield place, f"{layer} is no layer of {name}: write one of 0 to {last}"


def _impossible_runs(
    rows: Sequence[Mapping[str, Any]], encoders: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, str]]:
    first_row: dict[StudyRun, int] = {}
    for i_row, row in enumerate(rows):
        for run in expand_runs([row]):
            encoder = encoders.get(run.encoder)
            if encoder is None:
                known = ", ".join(encoders)
                place = ("runs", i_row, "encoder")
                yield place, f"{run.encoder!r} is not among encoders: write {known}"
            elif run.layer not in encoder["layers"]:
                yield (
                    ("runs", i_row, "layer"),
                    (
                        f"{run.encoder} records no layer {run.layer}: add it to "
                        f"encoders.{run.encoder}.layers, now {encoder['layers']}"
                    ),
                )
            elif run in first_row:
                yield ("runs", i_row), f"repeats {run} of runs.{first_row[run]}"
            else:
                first_row[run] = i_row
                continue
            break  # one problem a row is enough to read


def _impossible_methods(
    rows: Sequence[Mapping[str, Any]], methods: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, str]]:
    """Runs that their method cannot make, whatever the encoder."""
    n_sample = methods["kmeans"]["n_sample"]
    for i_row, row in enumerate(rows):
        for run in expand_runs([row]):
            is_kmeans = run.method in ("kmeans", "kmeansdistance")
            if run.method == "pca" and run.seed != 0:
                yield (
                    ("runs", i_row, "seed"),
                    f"{run.seed} is no seed of pca, which draws nothing: write 0, "
                    "in a row of its own",
                )
            elif run.method == "pca" and run.n_prototypes % 2:
                yield (
                    ("runs", i_row, "n_prototypes"),
                    f"{run.n_prototypes} is odd, but pca takes each component with "
                    "both signs: write an even number",
                )
            elif is_kmeans and run.n_prototypes > n_sample:
                yield (
                    ("runs", i_row, "n_prototypes"),
                    f"{run.n_prototypes} centres need at least as many patches: raise "
                    f"methods.kmeans.n_sample, now {n_sample}",
                )
            else:
                continue
            break  # one problem a row is enough to read


def missing_inputs(config: Config, datasets: set[str], encoders: set[str]) -> list[str]:
    """Which data sets and weights does a run need that are not there?

    Args:
        config: a checked study.
        datasets, encoders: the ones that scheduled jobs read.

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
                "checkpoint to the file, or to hub to download them"
            )
    return missing


def _key_lines(files: Sequence[Path]) -> dict[KeyPath, tuple[Path, int]]:
    """Where does each key stand? Refuses a key that stands twice in a section."""
    lines: dict[KeyPath, tuple[Path, int]] = {}
    for file in files:
        root = yaml.compose(file.read_text())
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
