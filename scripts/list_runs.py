"""List the runs and the settings of a study."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.core.project import PROJECT
from vitproto.launch.cli import run
from vitproto.study.read_study import resolve_and_check
from vitproto.study.run_table import expand_runs
from vitproto.study.settings_text import describe_settings
from vitproto.study.yaml_file import read_mapping

COLUMNS = "{:24} {:>5} {:14} {}"


def list_runs(config: Positional[Path]) -> None:
    """List the runs of a study, one per line, and then its settings.

    Beside each setting is the file and line that it comes from: the study's own, or a
    preset that the study names.

    Args:
        config: The study, such as config/config.yaml.
    """
    resolved = resolve_and_check(read_mapping(config), [config], PROJECT)
    study = resolved.config
    print(COLUMNS.format("encoder", "layer", "method", "run"))
    for row in expand_runs(study["runs"], study["encoders"]):
        print(COLUMNS.format(row.encoder, row.layer, row.method, row.run.name))
    print(f"\n{describe_settings(resolved)}")


if __name__ == "__main__":
    run(list_runs)
