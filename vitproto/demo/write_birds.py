"""The demo data set: invented birds in the official layout of CUB-200-2011."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from vitproto.core.bounds import AtLeast, Count, Index, check_bounds
from vitproto.core.folders import whole_folder
from vitproto.demo.birds.attributes import (
    PARTS,
    annotated,
    attribute_names,
    bounding_box,
    part_locations,
    present_attributes,
    visible_attributes,
)
from vitproto.demo.birds.bird import draw_individual
from vitproto.demo.birds.traits import Species, species_of
from vitproto.demo.drawing import in_order, save_jpeg

README = """\
# Invented birds

Every picture here was drawn by `scripts/draw_demo_birds.py` of vitproto; no such
bird exists. The files are laid out like CUB-200-2011, down to its lines with extra
columns, so that whatever reads this folder reads the real data set too. Certainties
and mistakes imitate hurried annotators; what is called visible was measured on the
drawn pixels. Use it to see that the pipeline works, never to learn about birds.
"""


@dataclass(frozen=True)
class DemoBirds:
    """Settings of the drawn data set."""

    n_species: Count
    """Number of invented species (classes)."""
    n_images_per_species: Annotated[int, AtLeast(2)]
    """Pictures of each species; half of them, rounded up, are for training."""
    image_size: Annotated[int, AtLeast(64)]
    """Pixels of each picture's longer side."""
    seed: Index
    """Determines species and pictures."""

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class _Job:
    root: Path
    cfg: DemoBirds
    species: Species
    i_species: int
    i_individual: int


@dataclass(frozen=True)
class _Row:
    """The entries of one image in the text files."""

    path: str
    box: tuple[int, int, int, int]
    parts: str
    attributes: str
    labels_T: np.ndarray


def write_demo_birds(out: Path, cfg: DemoBirds, n_workers: int) -> None:
    """Draw the data set into `out`: `CUB_200_2011/`, `attributes.txt`, a README.

    The bytes depend only on `cfg`. The folder appears complete or not at all.

    Raises:
        ValueError: `out` already contains files.
    """
    with whole_folder(out) as partial:
        root = partial / "CUB_200_2011"
        species = species_of(cfg.seed, cfg.n_species)
        for i, s in enumerate(species):
            (root / "images" / _folder(i, s)).mkdir(parents=True)
        jobs = [
            _Job(root, cfg, s, i, j)
            for i, s in enumerate(species)
            for j in range(cfg.n_images_per_species)
        ]
        rows = list(in_order(_draw, jobs, n_workers))
        _write_lists(root, cfg, species, rows)
        _write_parts(root, rows)
        _write_attributes(root, cfg, rows)
        numbered = "".join(f"{i} {n}\n" for i, n in enumerate(attribute_names(), 1))
        (partial / "attributes.txt").write_text(numbered)
        (partial / "README.md").write_text(README)


def _folder(i: int, species: Species) -> str:
    return f"{i + 1:03d}.{species.name}"


def _draw(job: _Job) -> _Row:
    i, j, cfg = job.i_species, job.i_individual, job.cfg
    image_id = i * cfg.n_images_per_species + j + 1
    picture = draw_individual(cfg.seed, job.species, i, j, cfg.image_size)
    name = f"{job.species.name}_{j + 1:04d}_{image_id:06d}.jpg"
    path = f"{_folder(i, job.species)}/{name}"
    save_jpeg(picture.image_HWC, job.root / "images" / path)
    rng = np.random.default_rng(np.random.SeedSequence(cfg.seed, spawn_key=(2, i, j)))
    labels_T, certainty_T = annotated(
        rng,
        present_attributes(picture.bird),
        visible_attributes(picture.regions_HW, flying=picture.flying),
    )
    return _Row(
        path=path,
        box=bounding_box(picture.regions_HW),
        parts=_part_lines(image_id, part_locations(
            picture.regions_HW, faces_left=picture.faces_left
        )),
        attributes=_attribute_lines(rng, image_id, labels_T, certainty_T),
        labels_T=labels_T,
    )  # fmt: skip


def _part_lines(image_id: int, locations: dict[str, tuple[float, float] | None]) -> str:
    lines = []
    for part_id, part in enumerate(PARTS, 1):
        x, y = locations[part] or (0.0, 0.0)
        lines.append(
            f"{image_id} {part_id} {x} {y} {int(locations[part] is not None)}\n"
        )
    return "".join(lines)


def _attribute_lines(
    rng: np.random.Generator,
    image_id: int,
    labels_T: np.ndarray,
    certainty_T: np.ndarray,
) -> str:
    """Lines of image, attribute, present, certainty and time.

    For one image in 500 they have extra columns before the time, as in the official
    file.
    """
    seconds_T = rng.lognormal(1.2, 0.7, len(labels_T))
    lines = []
    cells = zip(
        labels_T.tolist(), certainty_T.tolist(), seconds_T.tolist(), strict=True
    )
    for i, (label, certainty, seconds) in enumerate(cells, 1):
        extra = "0 1 " if image_id % 500 == 3 and i % 40 == 1 else ""
        lines.append(f"{image_id} {i} {int(label)} {certainty} {extra}{seconds:.4f}\n")
    return "".join(lines)


def _write_lists(
    root: Path, cfg: DemoBirds, species: list[Species], rows: list[_Row]
) -> None:
    n = cfg.n_images_per_species
    lines = {name: [] for name in ("images", "image_class_labels", "bounding_boxes")}
    for image_id, row in enumerate(rows, 1):
        x, y, w, h = (float(side) for side in row.box)
        lines["images"].append(f"{image_id} {row.path}")
        lines["image_class_labels"].append(f"{image_id} {(image_id - 1) // n + 1}")
        lines["bounding_boxes"].append(f"{image_id} {x} {y} {w} {h}")
    lines["classes"] = [f"{i + 1} {_folder(i, s)}" for i, s in enumerate(species)]
    lines["train_test_split"] = []
    for i in range(cfg.n_species):
        sequence = np.random.SeedSequence(cfg.seed, spawn_key=(3, i))
        place = np.random.default_rng(sequence).permutation(n)
        for j in range(n):
            is_train = int(place[j] < (n + 1) // 2)
            lines["train_test_split"].append(f"{i * n + j + 1} {is_train}")
    for name, of_file in lines.items():
        (root / f"{name}.txt").write_text("".join(f"{line}\n" for line in of_file))


def _write_parts(root: Path, rows: list[_Row]) -> None:
    (root / "parts").mkdir()
    numbered = "".join(f"{i} {part}\n" for i, part in enumerate(PARTS, 1))
    (root / "parts" / "parts.txt").write_text(numbered)
    located = "".join(row.parts for row in rows)
    (root / "parts" / "part_locs.txt").write_text(located)


def _write_attributes(root: Path, cfg: DemoBirds, rows: list[_Row]) -> None:
    folder = root / "attributes"
    folder.mkdir()
    with open(folder / "image_attribute_labels.txt", "w", encoding="utf-8") as f:
        f.writelines(row.attributes for row in rows)
    words = ("not visible", "guessing", "probably", "definitely")
    certainties = "".join(f"{i} {word}\n" for i, word in enumerate(words, 1))
    (folder / "certainties.txt").write_text(certainties)
    labels_CNT = np.stack([row.labels_T for row in rows]).reshape(
        cfg.n_species, cfg.n_images_per_species, -1
    )
    percent_CT = 100 * labels_CNT.mean(axis=1)
    np.savetxt(folder / "class_attribute_labels_continuous.txt", percent_CT, fmt="%.6g")
