"""Draw unlabelled invented birds, in folders by species, for fitting prototypes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vitproto.core.bounds import AtLeast, Count, Index, check_bounds
from vitproto.core.folders import whole_folder
from vitproto.demo.birds.bird import draw_individual
from vitproto.demo.birds.traits import Species, species_of
from vitproto.demo.drawing import in_order, save_jpeg


@dataclass(frozen=True)
class DemoCorpus:
    """Settings of the drawn data set."""

    n_species: Count
    """Number of invented species (folders)."""
    n_images_per_species: Annotated[int, AtLeast(2)]
    """Pictures of each species."""
    image_size: Annotated[int, AtLeast(64)]
    """Pixels of each picture's longer side."""
    seed: Index
    """Must differ from the seed of the labelled birds, so that the species differ."""

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class _Job:
    root: Path
    cfg: DemoCorpus
    species: Species
    i_species: int
    i_individual: int


def write_demo_corpus(out: Path, cfg: DemoCorpus, n_workers: int) -> None:
    """Draw `out/Some_Species/Some_Species_0001.jpg` and so on, without labels.

    The bytes depend only on `cfg`. The folder appears complete or not at all.

    Raises:
        ValueError: `out` already contains files.
    """
    with whole_folder(out) as partial:
        species = species_of(cfg.seed, cfg.n_species)
        for s in species:
            (partial / s.name).mkdir()
        jobs = [
            _Job(partial, cfg, s, i, j)
            for i, s in enumerate(species)
            for j in range(cfg.n_images_per_species)
        ]
        for _ in in_order(_draw, jobs, n_workers):
            pass


def _draw(job: _Job) -> None:
    i, j, cfg = job.i_species, job.i_individual, job.cfg
    picture = draw_individual(cfg.seed, job.species, i, j, cfg.image_size)
    name = f"{job.species.name}_{j + 1:04d}.jpg"
    save_jpeg(picture.image_HWC, job.root / job.species.name / name)
