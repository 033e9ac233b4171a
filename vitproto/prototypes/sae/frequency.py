"""How often is often? Names for latents by the share of patches they are active on."""

ALMOST_DEAD = 1e-7
"""A latent that is active on fewer of the patches than this, but on some, is almost
dead; one that is active on none is dead."""

DENSE = 1e-2
"""A latent that is active on more of the patches than this is dense."""
