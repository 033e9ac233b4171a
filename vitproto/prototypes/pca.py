"""PCA: prototypes are the directions in which activations vary most."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each

GROUP = 8
"""Images whose products are summed in float32, before they are added in float64. Groups
are counted from the data set's first image, so the number of shards or threads does not
change the components."""


@dataclass(frozen=True)
class Components:
    """The principal components of activations, largest variance first."""

    mean_D: Float[Tensor, " d"]
    components_DD: Float64[Tensor, "d d"]
    """One component a row, of length 1. Its entry of largest magnitude is positive."""
    variance_D: Float64[Tensor, " d"]
    """The variance along each component, with denominator n - 1."""


def fit(activations: Activations) -> Components:
    """Compute the principal components of all patches, in one pass over the data.

    They are the eigenvectors of the covariance. Covariance does not depend on the
    origin, so the mean of the first images is taken as origin: with a distant one,
    differences of large sums of squares would lose precision.

    Raises:
        ValueError: there are fewer than 2 patches.
    """
    n_patches = activations.n_images * activations.n_patches
    if n_patches < 2:
        raise ValueError(
            f"PCA needs at least 2 patches, got {n_patches}: record more images"
        )
    width = activations.width
    sum_D, products_DD = np.zeros(width), np.zeros((width, width))
    origin_D = None

    def moments(group_BPD: Tensor) -> tuple[Tensor, Tensor]:
        around_MD = group_BPD.flatten(0, 1) - origin_D
        return around_MD.sum(0), around_MD.T @ around_MD

    with one_core_each() as workers, progress_bar(n_patches, "patches") as progress:
        for _, acts_BPD in activations.blocks(GROUP * 2 * torch.get_num_threads()):
            if origin_D is None:
                origin_D = workers.submit(_mean, acts_BPD[:GROUP]).result()
            for group in workers.map(moments, acts_BPD.split(GROUP)):
                # NumPy uses this thread only; torch would use all cores.
                sum_D += group[0].numpy()
                products_DD += group[1].numpy()
            progress.update(len(acts_BPD) * activations.n_patches)
        shift_D = sum_D / n_patches
        products_DD -= n_patches * np.outer(shift_D, shift_D)
        covariance_DD = torch.from_numpy(products_DD / (n_patches - 1))
        # Eigenvalues ascend; eigenvectors are columns.
        eigen = workers.submit(torch.linalg.eigh, covariance_DD).result()
    assert origin_D is not None
    return Components(
        mean_D=(origin_D.double() + torch.from_numpy(shift_D)).float(),
        components_DD=_with_fixed_signs(eigen.eigenvectors.T.flip(0)),
        variance_D=eigen.eigenvalues.flip(0),
    )


def check_n_prototypes(n_prototypes: int, width: int) -> None:
    """Check that PCA can give `n_prototypes`: each component counts with both signs.

    Raises:
        ValueError: there are too few components, or the number is odd.
    """
    if n_prototypes > 2 * width:
        raise ValueError(
            f"PCA of activations of width {width} gives at most {2 * width} prototypes "
            f"(each component with both signs), got n_prototypes {n_prototypes}: lower "
            "n_prototypes in runs"
        )
    if n_prototypes % 2:
        raise ValueError(
            f"PCA gives an even number of prototypes (each component with both signs), "
            f"got n_prototypes {n_prototypes}: write {n_prototypes + 1} or "
            f"{n_prototypes - 1} in runs"
        )


def directions(components: Components, n_prototypes: int) -> Float[Tensor, "k d"]:
    """The first components with both signs, as prototypes: +1st, -1st, +2nd, -2nd, …

    The sign of a component is arbitrary, and a trait may lie at either end.

    Raises:
        ValueError: there are too few components, or the number is odd.
    """
    check_n_prototypes(n_prototypes, len(components.mean_D))
    first_CD = components.components_DD[: n_prototypes // 2].float()
    return torch.stack([first_CD, -first_CD], dim=1).flatten(0, 1)


def _mean(acts_BPD: Tensor) -> Tensor:
    return acts_BPD.flatten(0, 1).mean(0, dtype=torch.float64).float()


def _with_fixed_signs(components_DD: Tensor) -> Tensor:
    largest_D1 = components_DD.abs().argmax(1, keepdim=True)
    return components_DD * components_DD.gather(1, largest_D1).sign()
