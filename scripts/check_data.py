"""Find all that is wrong with the images, masks and labels of a study."""

import os
import sys
from pathlib import Path

from tyro.conf import Positional

from vitproto.checks.data_set import Table, problems_of
from vitproto.checks.files import ImageReading
from vitproto.checks.problem_list import count_problems
from vitproto.data.data_root import check_root
from vitproto.data.label_rule import LabelRule
from vitproto.data.stratified_split import TableSplit
from vitproto.launch.cli import run
from vitproto.study.read_study import read_study


def check_data(config: Positional[Path]) -> None:
    """Find all that is wrong with the images, masks and labels of a study.

    Every file is read as the stages read it: lists, labels and classes line by line,
    images and masks decoded. Data sets that the project draws are left out.

    Args:
        config: The study, such as config/config.yaml.
    """
    study = read_study(config)
    reading = ImageReading(
        study["record"]["grey_range"],
        study["how"]["most_pixels"],
        len(os.sched_getaffinity(0)),
    )
    n_bad = 0
    for name in dict.fromkeys([study["dataset"], study["fit_dataset"]]):
        data_set = study["datasets"][name]
        if "root" not in data_set:
            print(f"{name}: drawn by the project, so there is nothing to check")
            continue
        root = Path(data_set["root"])
        try:
            check_root(root, name)
            rule = None
            if "selection" in study and name == study["dataset"]:
                rule = LabelRule(**_tuples(study["selection"]["labels"]))
            table = _table_of(data_set)
            problems = problems_of(data_set["layout"], root, rule, reading, table)
        except ValueError as error:
            problems = [str(error)]
        print(f"{name}: {count_problems(problems)}")
        for problem in problems:
            print(f"- {problem}")
        n_bad += len(problems)
    if n_bad:
        sys.exit(1)


def _table_of(data_set: dict) -> Table | None:
    if "table" not in data_set:
        return None
    said = data_set["table"]
    return Table(Path(said["file"]), TableSplit(said["test_share"], said["seed"]))


def _tuples(section: dict) -> dict:
    return {key: tuple(value) for key, value in section.items()}


if __name__ == "__main__":
    run(check_data)
