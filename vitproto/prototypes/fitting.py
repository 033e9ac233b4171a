"""Fit prototypes: the parts that all such stages share."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.activations.training_images import open_training_images
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.scorer import StoredScorer
from vitproto.prototypes.store import Stored, look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


@dataclass(frozen=True)
class FitJob:
    """The files and runs of a job that fits one family of prototypes."""

    shards: tuple[Path, ...]
    """All shards of the activations to fit to."""
    splits: Path
    """The CSV file with the splits of their images; test images are left out."""
    store: Path
    """The folder for the checkpoints; those that it holds are not made again."""
    checkpoints: Path
    """The JSON file to write, with a list of the checkpoints."""
    runs: tuple[str, ...]
    """The runs to fit, such as k128-seed0: 128 prototypes by seed 0."""
    family: FittedFamily

    def open_activations(self) -> Activations:
        """Open the activations of the training images.

        Raises:
            ValueError: a shard is damaged, or the splits are of other images.
        """
        return open_training_images(self.shards, self.family.layer, self.splits)

    def look_up(self, acts: Activations, code: str) -> Stored:
        """Find which runs are stored already: made of the same data by the same code.

        Args:
            acts: the activations to fit to.
            code: the fingerprint of the stage.
        """
        settings = {
            "method": self.family.method,
            "layer": self.family.layer,
            "fitted_to": acts.attributes,
            "code": code,
        }
        made_by = {
            run: {**settings, "n_prototypes": run.n_prototypes, "seed": run.seed}
            for run in map(Run.parse, self.runs)
        }
        return look_up(self.store, made_by)


def fit_each(
    job: FitJob, code: str, fit: Callable[[Activations, int, int], StoredScorer]
) -> None:
    """Fit each run of a job by itself, unless it is stored, and list all of them.

    Args:
        job: the files and runs.
        code: the fingerprint of the stage.
        fit: takes the activations of the training images, the number of prototypes and
            the seed, and returns the scorer.
    """
    acts = job.open_activations()
    stored = job.look_up(acts, code)
    for run in stored.missing:
        scorer = fit(acts, run.n_prototypes, run.seed)
        if scorer.n_prototypes != run.n_prototypes:
            raise ValueError(
                f"{job.family.method} was asked for {run.n_prototypes} prototypes and "
                f"gave {scorer.n_prototypes}: return one scorer of all of them"
            )
        stored.save(run, scorer)
        logging.info("%s: fitted to %d training images", run.name, acts.n_images)
    write_manifest(job.checkpoints, stored.paths, job.family)
