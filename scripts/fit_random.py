"""Sample patches as prototypes."""

from vitproto.activations.stream import Activations
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.fitting import FitJob, fit_each
from vitproto.prototypes.scorer import DotProduct


def fit_random(job: FitJob) -> None:
    """Sample patches as prototypes: uniformly over all patches of training images.

    No patch is drawn twice. With the same seed, a smaller sample is the beginning of a
    larger one, so that more prototypes never hide a better one.

    The method `randomtrain` is this one, fitted to the images whose traits are looked
    for: a control that knows what these look like, but has seen no test image.
    """
    fit_each(job, fingerprint("fit_random"), sample_patches)


def sample_patches(acts: Activations, n_prototypes: int, seed: int) -> DotProduct:
    """Activations of patches as directions."""
    return DotProduct(acts.sample_patches(n_prototypes, seed))


if __name__ == "__main__":
    run(fit_random)
