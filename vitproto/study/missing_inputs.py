"""Data sets and weights that a study names and that are missing."""

from collections.abc import Collection
from pathlib import Path

from vitproto.study.imported import imported_method
from vitproto.study.problems import Config


def missing_inputs(
    config: Config,
    datasets: Collection[str],
    encoders: Collection[str],
    imported: Collection[str],
) -> list[str]:
    """Name the data sets and weights that are not where the configuration says.

    Args:
        config: a checked study.
        datasets, encoders, imported: those that scheduled jobs read; `imported` are
            methods.

    Returns:
        One sentence each, with the key to set.
    """
    missing = []
    for name in sorted(datasets):
        root = config["datasets"][name].get("root")
        if root is not None and not Path(root).is_dir():
            missing.append(
                f"the data set {name} is not at {root}: set datasets: {name}: root "
                "to its folder"
            )
        table = config["datasets"][name].get("table")
        if table is not None and not Path(table["file"]).is_file():
            missing.append(
                f"the table of {name} is not at {table['file']}: set datasets: {name}: "
                "table: file to it"
            )
    for name in sorted(encoders):
        encoder = config["encoders"][name]
        folder = encoder["model"].removeprefix("local-dir:")
        if folder != encoder["model"] and not Path(folder).is_dir():
            missing.append(
                f"the encoder {name} is not at {folder}: set encoders: {name}: model "
                "to local-dir:FOLDER"
            )
        file = encoder["weights"]
        if file not in ("hub", "random") and not Path(file).is_file():
            missing.append(
                f"the weights of {name} are not at {file}: set encoders: {name}: "
                "weights to the file, or to hub to fetch them"
            )
    for name in sorted(imported):
        sae = imported_method(config, name)
        key = f"methods: imported: {name}"
        if not sae.file.is_file():
            missing.append(
                f"the imported {name} is not at {sae.file}: set {key} to its file"
            )
        elif sae.cfg is not None and not sae.cfg.is_file():
            missing.append(
                f"the cfg.json of {name} is not at {sae.cfg}: copy it from where "
                f"SAELens saved {sae.file.name}"
            )
        if sae.mean is not None and not sae.mean.is_file():
            missing.append(
                f"the mean that {name} subtracts is not at {sae.mean}: set {key}: "
                "scaling: mean to its file"
            )
    return missing
