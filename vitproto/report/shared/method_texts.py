"""What the methods of a study are, in words."""

from typing import NamedTuple

from vitproto.report.shared.method_styles import StudyMethods

TEXTS = {
    "random": "activations of random patches. A patch scores its dot product with them",
    "randomtrain": (
        "activations of random patches of the training images. A patch scores its dot "
        "product with them"
    ),
    "kmeans": (
        "centres of clusters of patches. A patch scores its dot product with a centre"
    ),
    "kmeansdistance": (
        "centres of clusters of patches. A patch scores its negative squared distance "
        "from a centre"
    ),
    "pca": (
        "principal components, each with both signs. A patch scores the dot product of "
        "its activation minus the mean"
    ),
    "gaussian": (
        "random directions, which know nothing of activations. A patch scores its dot "
        "product with them"
    ),
}
"""The methods that have a name of their own."""

TRAINED = (
    "latents of a sparse autoencoder that the study trains. A patch scores the "
    "activation of a latent"
)
UNTRAINED = (
    "latents of a sparse autoencoder that stays as initialised. A patch scores the "
    "activation of a latent"
)
IMPORTED = "directions or latents from a file"

BADGES = ("yours", "baseline", "control")
"""Trained or imported prototypes; what they have to beat; what must find nothing."""


class DescribedMethod(NamedTuple):
    """A method, its badge and what it is."""

    method: str
    badge: str
    text: str


def describe_methods(looks: StudyMethods) -> list[DescribedMethod]:
    """Describe the methods of a study, by badge and then in the order of its runs."""
    described = [_describe(method, looks) for method in looks.methods]
    return sorted(described, key=lambda one: BADGES.index(one.badge))


def _describe(method: str, looks: StudyMethods) -> DescribedMethod:
    family = looks.family_of(method)
    if family is None:
        return DescribedMethod(method, "control", TEXTS.get(method, UNTRAINED))
    if family == "autoencoders":
        return DescribedMethod(method, "yours", TRAINED)
    if family == "imported":
        return DescribedMethod(method, "yours", IMPORTED)
    return DescribedMethod(method, "baseline", TEXTS[method])
