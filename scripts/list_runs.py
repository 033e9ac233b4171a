"""List the runs that a study's configuration expands to."""

from pathlib import Path

import yaml
from tyro.conf import Positional

from vitproto.core.project import PROJECT
from vitproto.launch.cli import run
from vitproto.study.config import check
from vitproto.study.run_table import expand_runs

COLUMNS = "{:24} {:>5} {:14} {}"


def list_runs(config: Positional[Path]) -> None:
    """List the runs that a study's configuration expands to, one per line.

    Args:
        config: the study, such as config/config.yaml.
    """
    study = yaml.safe_load(config.read_text())
    check(study, PROJECT / "workflow/schemas/config.schema.yaml", [config])
    print(COLUMNS.format("encoder", "layer", "method", "run"))
    for row in expand_runs(study["runs"], study["encoders"]):
        print(COLUMNS.format(row.encoder, row.layer, row.method, row.run.name))


if __name__ == "__main__":
    run(list_runs)
