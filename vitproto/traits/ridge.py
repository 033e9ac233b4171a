"""Ridge regression of many targets, at any regularisation, from one decomposition."""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Float64
from torch import Tensor


class RidgePath(NamedTuple):
    """Ridge regressions of T targets on the same N images; made by `fit_ridge`.

    R is the smaller of N and D.
    """

    n_images: int
    mean_D: Float64[Tensor, " d"]
    scale_D: Float64[Tensor, " d"]
    mean_T: Float64[Tensor, " t"]
    basis_DR: Float64[Tensor, "d r"]
    projection_RT: Float64[Tensor, "r t"]
    eigenvalue_R: Float64[Tensor, " r"]

    def predict(
        self, x_MD: Float32[Tensor, "m d"], regularisations: tuple[float, ...]
    ) -> Float32[Tensor, "l m t"]:
        """Predict the targets of M images at L regularisations, see `fit_ridge`."""
        z_MD = (x_MD.double() - self.mean_D) / self.scale_D
        z_MR = z_MD @ self.basis_DR
        predicted = []
        for regularisation in regularisations:
            shrunk_R = 1 / (self.eigenvalue_R + regularisation * self.n_images)
            predicted_MT = z_MR @ (shrunk_R[:, None] * self.projection_RT)
            predicted.append((predicted_MT + self.mean_T).float())
        return torch.stack(predicted)


def fit_ridge(
    x_ND: Float32[Tensor, "n d"], target_NT: Float64[Tensor, "n t"]
) -> RidgePath:
    """Fit linear regressions with an L2 penalty on standardised dimensions.

    Each target has weights w and an intercept b that minimise the mean over images of
    (y - b - z w)² plus `regularisation` × |w|², where z are the dimensions with mean 0
    and variance 1 over these images. A constant dimension becomes 0. With Z = z of all
    images, C = ZᵀZ = V E Vᵀ gives w = V (E + N regularisation)⁻¹ Vᵀ Zᵀ y; with fewer
    images than dimensions ZZᵀ = U E Uᵀ gives the same w = ZᵀU (E + …)⁻¹ Uᵀ y (Hastie,
    Tibshirani & Friedman, The Elements of Statistical Learning, 3.4.1 and 18.3.5). All
    targets and all regularisations share the decomposition, in float64.
    """
    n_images, width = x_ND.shape
    x_ND = x_ND.double()
    mean_D = x_ND.mean(0)
    z_ND = x_ND - mean_D
    # Rounding may leave a constant dimension a tiny variance: compare its values.
    is_constant_D = (x_ND == x_ND[0]).all(0)
    scale_D = z_ND.square().mean(0).sqrt().masked_fill_(is_constant_D, 1)
    z_ND = (z_ND / scale_D).masked_fill_(is_constant_D, 0)
    mean_T = target_NT.mean(0)
    target_NT = target_NT - mean_T
    if n_images < width:
        eigenvalue_R, vector_NR = torch.linalg.eigh(z_ND @ z_ND.T)
        basis_DR, projection_RT = z_ND.T @ vector_NR, vector_NR.T @ target_NT
    else:
        eigenvalue_R, basis_DR = torch.linalg.eigh(z_ND.T @ z_ND)
        projection_RT = basis_DR.T @ (z_ND.T @ target_NT)
    # Rounding may make zeros negative.
    return RidgePath(
        *(n_images, mean_D, scale_D, mean_T, basis_DR, projection_RT),
        eigenvalue_R.clamp(min=0),
    )
