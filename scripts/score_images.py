"""Score every image with every run of a family."""

import logging
from dataclasses import asdict
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.progress import progress_bar
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import read_manifest
from vitproto.prototypes.fitted_to import load_scorer
from vitproto.study.family import FittedFamily, ScoredFamily
from vitproto.traits.image_scores import score_blocks
from vitproto.traits.write_scores import create_scores


def score_images(
    shards: tuple[Path, ...],
    checkpoints: Path,
    scores: Path,
    *,
    dataset: str,
    runs: tuple[str, ...],
    family: FittedFamily,
    device: str,
) -> None:
    """Score every image with every run of a family, in one pass over the data.

    An image's score is the maximum over its patches.

    Args:
        shards: All shards of the activations of the images to score.
        checkpoints: The JSON file that lists the family's checkpoints.
        scores: The HDF5 file to write: `image_ids`, and per run `{run}/scores_NK`.
        dataset: The data set of these images.
        runs: All runs of the family, such as k128-seed0.
        family: Whose prototypes score.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, family.layer)
    fitted = read_manifest(checkpoints, family, runs)
    scorers = [load_scorer(fit, acts, shards[0]) for fit in fitted]
    scored = ScoredFamily(**asdict(family), dataset=dataset)
    code = fingerprint("score_images")
    with (
        create_scores(scores, scored, acts, fitted, code) as tables,
        progress_bar(acts.n_images * acts.n_patches, "patches") as progress,
    ):
        for i_first, blocks in score_blocks(acts, scorers, torch_device):
            for table, scores_BK in zip(tables, blocks, strict=True):
                table[i_first : i_first + len(scores_BK)] = scores_BK.numpy()
            progress.update(len(blocks[0]) * acts.n_patches)
    seconds = progress.format_dict["elapsed"]
    logging.info(
        "%s: %d images × %d runs, %.0f images/s, %s patches/s",
        *(scores, acts.n_images, len(fitted), acts.n_images / seconds),
        f"{acts.n_images * acts.n_patches / seconds:,.0f}",
    )


if __name__ == "__main__":
    run(score_images)
