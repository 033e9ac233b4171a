"""Check the rows of runs, and the runs whose features are shown."""

from collections.abc import Iterator, Mapping
from typing import Any

from vitproto.study.check_sections import ROUGHLY, count_images
from vitproto.study.imported import imported_method, shape_of_directions
from vitproto.study.problems import METHODS, Config, Problem
from vitproto.study.run_table import SEEDLESS, Family, StudyRun, expand_runs


def check_runs(config: Config) -> Iterator[Problem]:
    """At most one problem a row: that is enough to read."""
    first_row: dict[StudyRun, int] = {}
    for i_row, row in enumerate(config["runs"]):
        problem = (
            next(_unknown_names(row, config), None)
            or next(_wrong_keys(row, config["methods"]["saes"]), None)
            or next(_impossible_members(row, config), None)
        )
        if problem is not None:
            yield problem.within("runs", i_row)
            continue
        for run in expand_runs([row], config["encoders"]):
            if run in first_row:
                text = f"repeats {run} of runs.{first_row[run]}"
                yield Problem(("runs", i_row), text)
                break
            first_row[run] = i_row


def check_features(config: Config) -> Iterator[Problem]:
    """The runs whose features are shown must be among `runs`."""
    features = config["features"]
    table = expand_runs(config["runs"], config["encoders"])
    for i_row, row in enumerate(features["runs"]):
        family = Family(row["encoder"], row["layer"], row["method"])
        of_family = {run.run.name: run.run for run in table if run.family == family}
        path = ("features", "runs", i_row)
        if not of_family:
            known = dict.fromkeys(
                f"{run.encoder} layer {run.layer} {run.method}" for run in table
            )
            yield Problem(
                path,
                f"{row['encoder']} layer {row['layer']} {row['method']} is not among "
                f"runs: write {', '.join(known)}",
            )
        elif row["run"] not in of_family:
            yield Problem(
                (*path, "run"),
                f"{row['run']!r} is not a run of {row['encoder']} layer {row['layer']} "
                f"{row['method']}: write {', '.join(of_family)}",
            )
        elif row in features["runs"][:i_row]:
            text = f"repeats features.runs.{features['runs'].index(row)}"
            yield Problem(path, text)
        else:
            n_prototypes = of_family[row["run"]].n_prototypes
            for i, prototype in enumerate(features["listed"]):
                if prototype >= n_prototypes:
                    yield Problem(
                        ("features", "listed", i),
                        f"{prototype} is not a prototype of {row['method']} "
                        f"{row['run']}: write numbers from 0 to {n_prototypes - 1}",
                    )
    for key in ("log_freq_range", "log_value_range"):
        low, high = features[key]
        if low > high:
            text = f"{[low, high]} falls: write [{high}, {low}]"
            yield Problem(("features", key), text)


def _unknown_names(row: Mapping[str, Any], config: Config) -> Iterator[Problem]:
    methods = config["methods"]
    for key, section, known in (
        ("encoder", "encoders", [*config["encoders"]]),
        ("method", "the methods", [*METHODS, *methods["saes"], *methods["imported"]]),
    ):
        for name in _values(row, key):
            if name not in known:
                text = f"{name!r} is not among {section}: write {', '.join(known)}"
                yield Problem((key,), text)


def _wrong_keys(row: Mapping[str, Any], saes: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys that a method needs, or has no use for."""
    for method in _values(row, "method"):
        is_sae = method in saes
        is_trained = is_sae and saes[method]["trains"] != "nothing"
        for key, needed in (("learning_rate", is_trained), ("sparsity", is_sae)):
            if needed and key not in row:
                yield Problem(("method",), f"{method} needs {key}: add it to this row")
            if not needed and key in row:
                text = f"{method} has no {key}: leave it out, in a row of its own"
                yield Problem((key,), text)
        if ("n_prototypes" in row) == ("exp_factor" in row):
            yield Problem(
                ("method",),
                "a run needs n_prototypes, or exp_factor (a multiple of the encoder's "
                "width), not both",
            )


def _count_patches(config: Config, encoder: Mapping[str, Any]) -> int | None:
    """Roughly the patches of the data set that prototypes are fitted to."""
    dataset = config["datasets"].get(config["fit_dataset"], {})
    n_images = count_images(dataset)
    if n_images is None:
        return None
    share = 1 - dataset["table"]["test_share"] if "table" in dataset else 1
    side = encoder["image_size"] // encoder["patch_size"]
    return int(share * n_images) * side**2


def _has_fewer(config: Config, encoder: Mapping[str, Any], n_sample: int) -> bool:
    """Whether there are clearly fewer patches than k-means is to learn from."""
    n_patches = _count_patches(config, encoder)
    return n_patches is not None and n_sample > ROUGHLY * n_patches


def _impossible_members(row: Mapping[str, Any], config: Config) -> Iterator[Problem]:
    """Runs of a row that their encoder or method cannot make."""
    n_sample = config["methods"]["kmeans"]["n_sample"]
    for run in expand_runs([row], config["encoders"]):
        encoder = config["encoders"][run.encoder]
        n_prototypes, seed = run.run.n_prototypes, run.run.seed
        if run.layer not in encoder["layers"]:
            yield Problem(
                ("layer",),
                f"{run.encoder} records no layer {run.layer}: add it to "
                f"encoders.{run.encoder}.layers, now {encoder['layers']}",
            )
        elif run.method in SEEDLESS and seed != 0:
            yield Problem(
                ("seed",),
                f"{seed} is not a seed of {run.method}, which draws nothing: write 0, "
                "in a row of its own",
            )
        elif run.method == "pca" and n_prototypes % 2:
            yield Problem(
                ("n_prototypes",),
                f"{n_prototypes} is odd, but pca takes each component with both "
                "signs: write an even number",
            )
        elif run.method == "pca" and n_prototypes > 2 * encoder["width"]:
            yield Problem(
                ("n_prototypes",),
                f"{n_prototypes} is more than the {2 * encoder['width']} prototypes "
                f"that pca can make of {run.encoder}'s width {encoder['width']}",
            )
        elif run.method in ("kmeans", "kmeansdistance") and n_prototypes > n_sample:
            yield Problem(
                ("n_prototypes",),
                f"{n_prototypes} centres need at least as many patches: raise "
                f"methods.kmeans.n_sample, now {n_sample}",
            )
        elif run.method in ("kmeans", "kmeansdistance") and _has_fewer(
            config, encoder, n_sample
        ):
            n_patches = _count_patches(config, encoder)
            yield Problem(
                ("method",),
                f"{run.method} learns from methods.kmeans.n_sample: {n_sample} "
                f"patches, but {config['fit_dataset']} has about {n_patches}: lower it",
            )
        elif run.method in config["methods"]["imported"] and seed != 0:
            yield Problem(
                ("seed",),
                f"{seed} is not a seed of {run.method}, which is imported: write 0, in "
                "a row of its own",
            )
        elif run.method in config["methods"]["imported"]:
            yield from _impossible_directions(run, config, encoder["width"])
        elif run.method in config["methods"]["saes"]:
            yield from _impossible_sae(run, config["methods"]["saes"][run.method])


def _impossible_directions(
    run: StudyRun, config: Config, width: int
) -> Iterator[Problem]:
    """What a file of directions says before anything is recorded."""
    file = imported_method(config, run.method).file
    shape = shape_of_directions(file)
    if shape is None:
        return
    if shape[1] != width:
        yield Problem(
            ("method",),
            f"{run.method} has directions of width {shape[1]} in {file}, but "
            f"{run.encoder} has width {width}: write the encoder that they are of",
        )
    elif shape[0] != run.run.n_prototypes:
        yield Problem(
            ("n_prototypes",),
            f"{run.run.n_prototypes} is not how many directions {file} has: write "
            f"{shape[0]}",
        )


def _impossible_sae(run: StudyRun, settings: Mapping[str, Any]) -> Iterator[Problem]:
    sparsity, n_latents = run.run.sparsity, run.run.n_prototypes
    if settings["activation"] == "relu":
        return
    if sparsity != int(sparsity) or not 1 <= sparsity <= n_latents:
        yield Problem(
            ("sparsity",),
            f"{sparsity:g} is not how many of {n_latents} latents of {run.method} can "
            f"be active: write a whole number from 1 to {n_latents}",
        )


def _values(row: Mapping[str, Any], key: str) -> list[Any]:
    return row[key] if isinstance(row[key], list) else [row[key]]
