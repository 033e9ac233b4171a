"""The ways in which the activations of an image's patches become one vector."""

POOLINGS = ("max", "mean")
"""The maximum and the mean over the patches, for each dimension."""
