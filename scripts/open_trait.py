"""Make the page of a trait, and say where it is."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.launch.asked_pages import find_trait, make, target_of_traits
from vitproto.launch.cli import run
from vitproto.study.read_study import read_study


def open_trait(config: Positional[Path], trait: Positional[str]) -> None:
    """Make the page of a trait, and print its address.

    Runs what is missing or stale, with the profile that the environment variable
    PROFILE names.

    Args:
        config: The study, such as config/config.yaml.
        trait: A trait of its data set, such as has_wing_color::blue.
    """
    folder = target_of_traits(read_study(config))
    if (folder / "pages.json").is_file():
        find_trait(folder, trait)  # a misspelt name is refused before anything runs
    make(folder, config)
    print(find_trait(folder, trait).resolve().as_uri())


if __name__ == "__main__":
    run(open_trait)
