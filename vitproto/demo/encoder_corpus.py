"""Draw invented birds for training and testing the demo's encoder."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from vitproto.demo.birds.attributes import present_attributes, visible_attributes
from vitproto.demo.birds.bird import draw_individual
from vitproto.demo.birds.painting import Region
from vitproto.demo.birds.traits import Species, species_of
from vitproto.demo.drawing import in_order
from vitproto.demo.encoder import Corpus, region_counts


@dataclass(frozen=True)
class _Job:
    species: Species
    i_species: int
    i_individual: int
    seed: int
    drawing_size: int
    image_size: int
    patch_size: int


def draw_corpus(
    *,
    seed: int,
    n_species: int,
    n_images_per_species: int,
    drawing_size: int,
    image_size: int,
    patch_size: int,
    n_workers: int,
) -> Corpus:
    """Draw invented birds, resized to squares, with their visible traits.

    Masks are resized like the images, with nearest neighbour. The result does not
    depend on `n_workers`.
    """
    jobs = [
        _Job(species, i, j, seed, drawing_size, image_size, patch_size)
        for i, species in enumerate(species_of(seed, n_species))
        for j in range(n_images_per_species)
    ]
    rows = list(in_order(_draw, jobs, n_workers))
    pixels, shows, patches = zip(*rows, strict=True)
    return Corpus(
        torch.from_numpy(np.stack(pixels)),
        torch.from_numpy(np.stack(shows)),
        torch.from_numpy(np.stack(patches)),
    )


def _draw(job: _Job) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture = draw_individual(
        job.seed, job.species, job.i_species, job.i_individual, job.drawing_size
    )
    size = (job.image_size, job.image_size)
    image = Image.fromarray(picture.image_HWC).resize(size, Image.Resampling.BICUBIC)
    regions = Image.fromarray(picture.regions_HW).resize(size, Image.Resampling.NEAREST)
    visible_T = visible_attributes(picture.regions_HW, flying=picture.flying)
    return (
        np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)),
        present_attributes(picture.bird) & visible_T,
        region_counts(np.asarray(regions), job.patch_size, max(Region) + 1),
    )
