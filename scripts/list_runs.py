"""List the runs that a study's configuration expands to."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.core.reader import reader_may_leave
from vitproto.launch.cli import run
from vitproto.study.read_study import read_study
from vitproto.study.run_table import expand_runs

COLUMNS = "{:24} {:>5} {:14} {}"


def list_runs(config: Positional[Path]) -> None:
    """List the runs that a study's configuration expands to, one a line.

    Args:
        config: the study, such as config/config.yaml.
    """
    study = read_study(config)
    with reader_may_leave():
        print(COLUMNS.format("encoder", "layer", "method", "run"))
        for row in expand_runs(study["runs"], study["encoders"]):
            print(COLUMNS.format(row.encoder, row.layer, row.method, row.run.name))


if __name__ == "__main__":
    run(list_runs)
