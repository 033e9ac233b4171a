"""Write the configuration of a study of somebody's own images and table of traits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.core.project import PROJECT
from vitproto.data.image_folder import SUFFIXES
from vitproto.data.stratified_split import TableSplit
from vitproto.data.trait_table import read_images, read_traits
from vitproto.report.shared.wording import write_count
from vitproto.study.yaml_file import read_mapping

TEMPLATE = PROJECT / "config/new_study.yaml.jinja"
ENCODERS = PROJECT / "config/presets/encoders"

SPLIT = TableSplit(test_share=0.5, seed=0)
"""What a new study says of the split; as in CUB-200-2011, half of the images test."""

SUBSETS = (16, 64, 256, 1024)
"""Numbers of training images that choose prototypes, if there are more."""

IMAGES_PER_SHARD = 2000


class NewStudy(NamedTuple):
    """What a new study is made of."""

    name: str
    images: Path
    """The folder of images."""
    traits: Path
    """The CSV file with their traits."""
    encoder: str
    """A file below `config/presets/encoders/`, without .yaml."""


class Found(NamedTuple):
    """What the folder and the table hold."""

    n_images: int
    n_train: int
    n_unlisted: int
    """Images in the folder that the table does not name."""
    n_shown: dict[str, int]
    """The images that show each trait."""

    def __str__(self) -> str:
        rare = [trait for trait, n in self.n_shown.items() if n < 2]
        text = (
            f"{write_count(self.n_images, 'image')}, {self.n_train:,} of them for "
            f"training, and {write_count(len(self.n_shown), 'trait')}"
        )
        if self.n_unlisted:
            left_out = write_count(self.n_unlisted, "image")
            text += f"; left out: {left_out} that the table lacks"
        if rare:
            text += (
                "; shown by fewer than two images, so that no test is possible: "
                f"{write_count(len(rare), 'trait')}, such as {rare[0]}"
            )
        return text


def examine(study: NewStudy) -> Found:
    """Read the folder and the table as a run would.

    Raises:
        ValueError: something is missing or wrong; one line for each problem.
    """
    if not study.images.is_dir():
        raise ValueError(f"{study.images} is not a folder: write IMAGES=FOLDER")
    labels = read_traits(study.traits)
    listed = read_images(study.images, study.traits, SPLIT)
    there = (
        path for path in study.images.rglob("*") if path.name.lower().endswith(SUFFIXES)
    )
    paths = {path.relative_to(study.images).as_posix() for path in there}
    return Found(
        len(listed),
        int((listed["split"] == "train").sum()),
        len(paths - set(listed["path"])),
        dict(zip(labels.trait_names, labels.labels_NT.sum(0).tolist(), strict=True)),
    )


def read_encoder(name: str) -> Mapping[str, Any]:
    """The preset of an encoder.

    Raises:
        ValueError: there is none.
    """
    known = sorted(file.stem for file in ENCODERS.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"there is no encoder {name!r}: write {', '.join(known)}")
    return read_mapping(ENCODERS / f"{name}.yaml")["encoders"][name]


def write_config(study: NewStudy, found: Found) -> str:
    """The text of the configuration, with comments for whoever edits it."""
    encoder = read_encoder(study.encoder)
    import jinja2

    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    text = template.render(
        study=study.name,
        encoder=study.encoder,
        layer=encoder["n_blocks"] - 1,
        images=_quote(study.images),
        traits=_quote(study.traits),
        test_share=SPLIT.test_share,
        seed=SPLIT.seed,
        n_images=found.n_images,
        n_shards=-(-found.n_images // IMAGES_PER_SHARD),
        n_train=[*(n for n in SUBSETS if n < found.n_train), "all"],
    )
    return text + "\n"


def _quote(path: Path) -> str:
    """A path as YAML: in quotes, which JSON shares, since it may hold anything."""
    return json.dumps(str(path), ensure_ascii=False)
