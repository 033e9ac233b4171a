"""Limits of a latent's frequency, the share of patches on which it is active."""

ALMOST_DEAD = 1e-7
"""A latent with a lower frequency is almost dead, or dead if it is never active."""

DENSE = 1e-2
"""A latent with a higher frequency is dense."""
