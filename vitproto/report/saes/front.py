"""The Pareto front of autoencoders: few active latents, and a low error."""

import numpy as np
from jaxtyping import Bool, Float


def on_front(
    l0_R: Float[np.ndarray, " r"], nmse_R: Float[np.ndarray, " r"]
) -> Bool[np.ndarray, " r"]:
    """Find the runs on the Pareto front of low L0 and low NMSE.

    No other run is at least as good in both measures and better in one.
    """
    no_worse_RR = (l0_R <= l0_R[:, None]) & (nmse_R <= nmse_R[:, None])
    better_RR = (l0_R < l0_R[:, None]) | (nmse_R < nmse_R[:, None])
    return ~(no_worse_RR & better_RR).any(axis=1)
