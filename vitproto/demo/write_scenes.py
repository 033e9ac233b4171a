"""Draw invented birds with a class for every pixel, in the layout of ADE20K."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vitproto.core.bounds import AtLeast, Count, Index, check_bounds
from vitproto.core.folders import whole_folder
from vitproto.demo.birds.bird import draw_individual
from vitproto.demo.birds.painting import Region
from vitproto.demo.birds.traits import Species, species_of
from vitproto.demo.drawing import in_order, save_jpeg

CLASSES: dict[str, tuple[Region, ...]] = {
    "sky": (Region.SKY,),
    "leaf, foliage": (Region.FOLIAGE,),
    "water": (Region.WATER,),
    "ground, earth": (Region.GROUND,),
    "snow": (Region.SNOW,),
    "reed, grass": (Region.REED,),
    "branch, trunk": (Region.BRANCH,),
    "wing": (Region.WING, Region.PRIMARY, Region.FAR_WING),
    "back": (Region.BACK, Region.NAPE),
    "belly, breast": (Region.BREAST, Region.BELLY),
    "head": (Region.CROWN, Region.FOREHEAD, Region.FACE, Region.THROAT),
    "bill, beak": (Region.BILL,),
    "eye": (Region.EYE, Region.FAR_EYE),
    "leg": (Region.LEG, Region.FAR_LEG),
    "tail": (Region.UPPER_TAIL, Region.UNDER_TAIL),
}
"""Names in the order of their labels, from 1. Rocks have the label 0, other, so that
this label occurs too."""

README = """\
# Invented scenes

Every picture and mask here was drawn by `scripts/draw_demo_scenes.py` of vitproto.
The files are laid out like ADEChallengeData2016 (ADE20K): masks hold labels from 1,
0 is other; `objectInfo.txt` lists the classes. Mask and picture come from the same
strokes. Use it to see that the pipeline works, never to learn about birds.
"""

_SPLITS = {"training": "train", "validation": "val"}


@dataclass(frozen=True)
class DemoScenes:
    """Settings of the drawn data set."""

    n_species: Count
    """Number of invented species, which take turns."""
    n_training: Count
    """Number of pictures for training."""
    n_validation: Count
    """Number of pictures for validation, of other individuals of the same species."""
    image_size: Annotated[int, AtLeast(64)]
    """Pixels of each picture's longer side."""
    seed: Index
    """Determines species and pictures."""

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class _Job:
    root: Path
    split: str
    number: int
    species: Species
    i_species: int
    i_individual: int
    seed: int
    image_size: int


@dataclass(frozen=True)
class _Row:
    """The entries of one scene in the text files."""

    split: str
    stem: str
    place: str
    n_pixels_C: list[int]


def write_demo_scenes(out: Path, cfg: DemoScenes, n_workers: int) -> None:
    """Draw the data set into `out/ADEChallengeData2016`.

    The bytes depend only on `cfg`. The folder appears complete or not at all.

    Raises:
        ValueError: `out` already contains files.
    """
    with whole_folder(out) as partial:
        root = partial / "ADEChallengeData2016"
        for split in _SPLITS:
            (root / "images" / split).mkdir(parents=True)
            (root / "annotations" / split).mkdir(parents=True)
        rows = list(in_order(_draw, _jobs(root, cfg), n_workers))
        _write_object_info(root, rows)
        categories = (f"{row.stem} {row.place}\n" for row in rows)
        (root / "sceneCategories.txt").write_text("".join(categories))
        (partial / "README.md").write_text(README)


def _jobs(root: Path, cfg: DemoScenes) -> list[_Job]:
    species = species_of(cfg.seed, cfg.n_species)
    splits = ["training"] * cfg.n_training + ["validation"] * cfg.n_validation
    jobs = []
    for n, split in enumerate(splits):
        i, j = n % cfg.n_species, n // cfg.n_species
        number = n + 1 if split == "training" else n - cfg.n_training + 1
        job = _Job(root, split, number, species[i], i, j, cfg.seed, cfg.image_size)
        jobs.append(job)
    return jobs


def _draw(job: _Job) -> _Row:
    picture = draw_individual(
        job.seed, job.species, job.i_species, job.i_individual, job.image_size
    )
    stem = f"ADE_{_SPLITS[job.split]}_{job.number:08d}"
    save_jpeg(picture.image_HWC, job.root / "images" / job.split / f"{stem}.jpg")
    labels_HW = class_labels(picture.regions_HW)
    mask = job.root / "annotations" / job.split / f"{stem}.png"
    Image.fromarray(labels_HW).save(mask)
    counts = np.bincount(labels_HW.ravel(), minlength=len(CLASSES) + 1)
    return _Row(job.split, stem, picture.place, counts[1:].tolist())


def class_labels(regions_HW: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The class of each pixel; 0 is other."""
    table = np.zeros(256, np.uint8)
    for label, regions in enumerate(CLASSES.values(), 1):
        table[list(regions)] = label
    return table[regions_HW]


def _write_object_info(root: Path, rows: list[_Row]) -> None:
    """Write the columns of ADE20K's objectInfo150.txt: pixels, images, name."""
    pixels_NC = np.array([row.n_pixels_C for row in rows])
    is_train_N = np.array([row.split == "training" for row in rows])
    ratio_C = pixels_NC.sum(axis=0) / max(1, pixels_NC.sum())
    lines = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    for c, name in enumerate(CLASSES):
        shown_N = pixels_NC[:, c] > 0
        n_train, n_val = shown_N[is_train_N].sum(), shown_N[~is_train_N].sum()
        stuff = int(c < 7)
        lines.append(f"{c + 1}\t{ratio_C[c]:.4f}\t{n_train}\t{n_val}\t{stuff}\t{name}")
    (root / "objectInfo.txt").write_text("".join(f"{line}\n" for line in lines))
