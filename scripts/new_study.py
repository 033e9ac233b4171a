"""Write the configuration of a study of your own images and table of traits."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.core.files import write_text
from vitproto.core.project import PROJECT
from vitproto.launch.cli import run
from vitproto.launch.new_study import NewStudy, examine, write_config
from vitproto.study.read_study import resolve_and_check
from vitproto.study.yaml_file import read_mapping


def new_study(
    config: Positional[Path],
    images: Positional[Path],
    traits: Positional[Path],
    encoder: Positional[str],
) -> None:
    """Write the configuration of a study of your own images and table of traits.

    Reads the folder and the table first, and names all that is wrong with them. An
    existing file is not replaced.

    Args:
        config: The YAML file to write, such as config/mine.yaml; its name is that of
            the study.
        images: The folder of images.
        traits: The CSV file with a row for each image: the column image, and a column
            for each trait.
        encoder: A file below config/presets/encoders, without .yaml.
    """
    if config.exists():
        raise ValueError(f"{config} exists already: choose another name, or remove it")
    study = NewStudy(config.stem, images, traits, encoder)
    found = examine(study)
    write_text(write_config(study, found), config)
    try:
        resolve_and_check(read_mapping(config), [config], PROJECT)
    except ValueError:
        config.unlink()
        raise
    print(f"{config} is written: {found}.")


if __name__ == "__main__":
    run(new_study)
