"""Write the configuration of a study of somebody's own images and table of traits."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.core.project import PROJECT
from vitproto.data.image_folder import SUFFIXES
from vitproto.data.stratified_split import TableSplit
from vitproto.data.trait_table import read_images, read_traits
from vitproto.report.shared.wording import write_count
from vitproto.study.yaml_file import read_mapping
from vitproto.traits.guard import check_labels

TEMPLATE = PROJECT / "config/new_study.yaml.jinja"
CONFIGS = PROJECT / "config"
METHODS = PROJECT / "config/presets/methods/small-saes.yaml"
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
    n_shown: dict[str, tuple[int, int]]
    """The training and the test images that show each trait."""

    def __str__(self) -> str:
        rare = [trait for trait, counts in self.n_shown.items() if 0 in counts]
        text = (
            f"{write_count(self.n_images, 'image')}, {self.n_train:,} of them for "
            f"training, and {write_count(len(self.n_shown), 'trait')}"
        )
        if self.n_unlisted:
            left_out = write_count(self.n_unlisted, "image")
            text += f"; left out: {left_out} that the table lacks"
        if rare:
            text += (
                "; without a training or a test image that shows them: "
                f"{write_count(len(rare), 'trait')}, such as {rare[0]}"
            )
        return text


def examine(study: NewStudy) -> Found:
    """Read the folder and the table as a run would.

    Raises:
        ValueError: something is missing or wrong; one line for each problem.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", study.name):
        raise ValueError(
            f"{study.name!r} cannot be the name of a study, which becomes part of "
            "paths: write STUDY= and small letters, digits, dots, - and _"
        )
    taken = {read_mapping(file)["study"]: file for file in CONFIGS.glob("*.yaml")}
    if study.name in taken:
        raise ValueError(
            f"{taken[study.name]} is the study {study.name} already, whose results "
            "would be mixed with yours: write another STUDY"
        )
    if not study.images.is_dir():
        raise ValueError(f"{study.images} is not a folder: write IMAGES=FOLDER")
    if not study.traits.is_file():
        raise ValueError(f"{study.traits} is not a file: write TRAITS=FILE.csv")
    listed = read_images(study.images, study.traits, SPLIT)
    labels = read_traits(study.traits)
    there = (
        path for path in study.images.rglob("*") if path.name.lower().endswith(SUFFIXES)
    )
    paths = {path.relative_to(study.images).as_posix() for path in there}
    check_labels(labels, listed["split"].tolist())
    is_train_N = (listed["split"] == "train").to_numpy()
    shown = zip(
        labels.labels_NT[is_train_N].sum(0).tolist(),
        labels.labels_NT[~is_train_N].sum(0).tolist(),
        strict=True,
    )
    return Found(
        len(listed),
        int(is_train_N.sum()),
        len(paths - set(listed["path"])),
        dict(zip(labels.trait_names, shown, strict=True)),
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


def count_patches(encoder: Mapping[str, Any]) -> int:
    """The patches of an image."""
    return (encoder["image_size"] // encoder["patch_size"]) ** 2


def write_config(study: NewStudy, found: Found) -> str:
    """The text of the configuration, with comments for whoever edits it."""
    encoder = read_encoder(study.encoder)
    from vitproto.pages.templates import read_text_template

    template = read_text_template(TEMPLATE)
    usual = read_mapping(METHODS)["methods"]["kmeans"]
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
        n_sample=min(usual["n_sample"], found.n_train * count_patches(encoder)),
        n_train=[*(n for n in SUBSETS if n < found.n_train), "all"],
    )
    return text + "\n"


def _quote(path: Path) -> str:
    """A path as YAML: in quotes, which JSON shares, since it may hold anything."""
    return json.dumps(str(path), ensure_ascii=False)
