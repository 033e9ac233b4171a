"""Show whether an imported autoencoder reconstructs the activations of a study.

A file does not say how it must be read, and a wrong reading raises no error: it shows
only in the reconstruction. M patches, D width, S latents.
"""

import logging
import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.core.csv_file import write_csv
from vitproto.core.threads import one_core_each
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.study.family import FittedFamily
from vitproto.study.imported import DOUBTFUL_NMSE, N_CHECKED


@dataclass(frozen=True)
class ImportCheck:
    """How well an autoencoder reconstructs some images of a study."""

    n_images: int
    n_patches: int
    """Patches of all these images."""
    nmse: float
    """Σ |x - x̂|² / Σ |x - x̄|², where x̄ is the mean of these patches; NaN if all are
    equal."""
    l0: float
    """The mean number of nonzero latents on a patch."""


def check_import(acts: Activations, sae: SparseAutoencoder) -> ImportCheck:
    """Reconstruct images that are spread evenly over a data set.

    So they do not depend on its shards, and are not all of one class.

    Raises:
        ValueError: a reconstruction is not finite.
    """
    n_images = min(N_CHECKED, acts.n_images)
    i_image_N = np.arange(n_images) * acts.n_images // n_images
    acts_NPD = acts.read_images(i_image_N)
    mean_D = acts_NPD.double().mean((0, 1))
    with one_core_each() as workers:
        sums = workers.map(partial(_sums, sae, mean_D), acts_NPD)
        # In order: the sum must not depend on the number of threads.
        error, variance, n_active = (sum(part) for part in zip(*sums, strict=True))
    if not math.isfinite(error):
        raise ValueError(
            "the autoencoder reconstructs activations of the study as values that are "
            "not finite: its weights are damaged, or far too large"
        )
    n_patches = n_images * acts.n_patches
    nmse = error / variance if variance > 0 else float("nan")
    return ImportCheck(n_images, n_patches, nmse, n_active / n_patches)


@torch.inference_mode()
def _sums(
    sae: SparseAutoencoder, mean_D: Float[Tensor, " d"], acts_MD: Float[Tensor, "m d"]
) -> tuple[float, float, int]:
    """Squared error, squared distance from the mean, and active latents of an image."""
    latents_MS = sae(acts_MD)
    error_MD = acts_MD.double() - sae.decode(latents_MS).double()
    around_MD = acts_MD.double() - mean_D
    return (
        float(error_MD.square().sum()),
        float(around_MD.square().sum()),
        int((latents_MS != 0).sum()),
    )


def report_import(
    out: Path, file: Path, family: FittedFamily, check: ImportCheck
) -> None:
    """Log what was found, with a warning if it is doubtful, and write it as CSV.

    Args:
        out: the CSV file to write, with one row.
        file: the imported file.
        family: the family of the autoencoder; repeated in the row.
        check: what was found.
    """
    logging.info(
        "%s: NMSE %.3f and L0 %.1f on %d images",
        *(file, check.nmse, check.l0, check.n_images),
    )
    if not check.nmse <= DOUBTFUL_NMSE:  # NaN, too
        logging.warning(
            "%s reconstructs badly: NMSE %.3f is not below %s. It may belong to "
            "another encoder or layer%s",
            *(file, check.nmse, DOUBTFUL_NMSE),
            ""
            if file.suffix == ".safetensors"
            else ", or be read otherwise than it "
            "was trained: see subtract_b_dec_before_encoding and scaling under "
            f"methods: imported: {family.method} in docs/settings.md",
        )
    row = {
        "encoder": family.encoder,
        "layer": family.layer,
        "method": family.method,
        # The files of SAELens all have the same name.
        "file": f"{file.parent.name}/{file.name}",
        **asdict(check),
    }
    write_csv(out, pd.DataFrame([row]))
