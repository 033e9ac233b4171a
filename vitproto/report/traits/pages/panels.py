"""Panels of trait pages: a prototype with the images that it finds and misses."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32

from vitproto.core.progress import progress_bar
from vitproto.features.shown import ShownImages
from vitproto.features.top_images import Wanted, score_patches
from vitproto.prototypes.scorer import Scorer
from vitproto.report.traits.pages.finders import Finder
from vitproto.report.traits.pages.picks import Picks, pick_images
from vitproto.traits.trait_split import TraitSplit


class Panel(NamedTuple):
    """A method's prototype for a trait, and images that it finds and misses."""

    t: int
    """The index of the trait."""
    i_finder: int
    """The index of the method's `Finder`."""
    prototype: int
    """Counted from 0."""
    picks: Picks


def make_panels(
    finders: Sequence[Finder], traits: TraitSplit, n_images: int
) -> Iterator[Panel]:
    """Pick the images of each prototype, trait by trait, the best method first.

    Traits that no test image shows have no panels, nor has a method in which no
    prototype could be chosen.

    Args:
        finders: the prototypes.
        traits: which image shows which trait.
        n_images: most images of each kind.
    """
    ranked_NT = traits.known_NT & ~traits.is_train_N[:, None]
    for t, trait in enumerate(traits.trait_names):
        shows_N, ranked_N = traits.labels_NT[:, t], ranked_NT[:, t]
        if not (shows_N & ranked_N).any():
            continue
        for i_finder, finder in enumerate(finders):
            prototype = finder.prototype_of(trait)
            if prototype is not None:
                scores_N = finder.scores_NT[:, t]
                picks = pick_images(scores_N, shows_N, ranked_N, n_images)
                yield Panel(t, i_finder, prototype, picks)


def score_panels(
    panels: Sequence[Panel], scorers: Sequence[Scorer], source: ShownImages
) -> list[Float32[np.ndarray, "_ p"]]:
    """Score the patches of all picked images in one pass over them, on the CPU.

    Args:
        panels: the prototypes with their images.
        scorers: the prototypes of each finder.
        source: the images with their activations.

    Returns:
        For each panel the scores of its M `picks.images`.
    """
    wanted = [
        Wanted(i_image, panel.prototype, panel.i_finder)
        for panel in panels
        for i_image in panel.picks.images
    ]
    n_images = len({place.i_image for place in wanted})
    with progress_bar(n_images, "images") as progress:
        scores_MP = score_patches(
            source.acts, scorers, wanted, torch.device("cpu"), progress
        )
    ends = itertools.accumulate(len(panel.picks.images) for panel in panels)
    return np.split(scores_MP, list(ends)[:-1]) if panels else []
