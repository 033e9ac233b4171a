"""Make a page of some prototypes of a run, and say where it is."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.launch.asked_pages import make, target_of_prototypes
from vitproto.launch.cli import run
from vitproto.study.read_study import read_study


def open_prototypes(
    config: Positional[Path], run_name: Positional[str], prototypes: Positional[str]
) -> None:
    """Make a page of some prototypes of a run, and print its address.

    Runs what is missing or stale, with the profile that the environment variable
    PROFILE names.

    Args:
        config: The study, such as config/config.yaml.
        run_name: A run, such as tiny-vit/layer3/topk/k512-lr0.01-sparsity8-seed0.
        prototypes: Their numbers, such as 52,107.
    """
    folder = target_of_prototypes(read_study(config), run_name, prototypes)
    make(folder, config)
    print((folder / "index.html").resolve().as_uri())


if __name__ == "__main__":
    run(open_prototypes)
