"""Simulate how often intervals of suppression hold the truth.

`python benchmarks/suppression_coverage.py` writes docs/suppression_coverage.md. It
compares no speed, so `run_all.py` leaves it out.

C classes, M images, N draws of a control, R resamples.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from vitproto.core.confidence import LEVEL
from vitproto.core.files import whole_file
from vitproto.report.shared.markdown import TextTable, write_markdown
from vitproto.segmentation.suppression.intervals import (
    effective_number,
    freedom,
    mean_over_classes,
    of_one_class,
)
from vitproto.segmentation.suppression.terms import (
    EXCESS_KURTOSIS,
    LEAST_CLASSES,
    LEAST_IMAGES,
)

OUT = Path(__file__).resolve().parent.parent / "docs" / "suppression_coverage.md"
N_SIMULATIONS, N_IMAGES, N_DRAWS, N_RESAMPLES = 6000, 80, 10, 200
SHOWN = 0.3
"""The share of images that show a class."""
SHARED_SD, IMAGE_SD, DRAW_SD = 0.1, 0.3, 0.2
"""What an image adds to the losses of all classes and to that of one, and what a draw
of a control adds. Controls of the demo have 0.09 to 0.32."""


class Population(NamedTuple):
    """Where the effects of classes come from."""

    draw: Callable[[np.random.Generator, int], np.ndarray]
    mean: float


POPULATIONS = {
    "specific latents": Population(lambda rng, n: rng.beta(2, 3, n), 0.4),
    "few classes with large effects": Population(
        lambda rng, n: rng.beta(0.8, 2.5, n), 0.8 / 3.3
    ),
    "no effect: equal SAEs, or harm to all alike": Population(
        lambda rng, n: 0.07 * rng.standard_t(4, n), 0.0
    ),
    "most classes untouched, a few gone": Population(
        lambda rng, n: rng.beta(0.15, 0.85, n), 0.15
    ),
}
N_CLASSES = (LEAST_CLASSES, 12, 25, 50, 150)
METHODS = (
    "percentiles over classes",
    "n − 1 draws",
    "studentised",
    "t over classes",
    "t, two-way, C − 1",
    "t, two-way",
)


def simulate_mean(
    rng: np.random.Generator, population: Population, n_classes: int
) -> list[bool]:
    """Whether the interval of each method holds the true mean, once."""
    effect_C = population.draw(rng, n_classes)
    shape = (N_IMAGES, n_classes)
    pixels_MC = rng.lognormal(0, 1, shape) * (rng.random(shape) < SHOWN)
    pixels_MC[0] += 1e-9
    loss_MC = effect_C + SHARED_SD * rng.standard_normal((N_IMAGES, 1))
    loss_MC = loss_MC + IMAGE_SD * rng.standard_normal(shape)
    total_C = pixels_MC.sum(axis=0)
    loss_C = (pixels_MC * loss_MC).sum(axis=0) / total_C
    influence_CM = (pixels_MC * (loss_MC - loss_C) / total_C).T
    control_NC = DRAW_SD * rng.standard_normal((N_DRAWS, n_classes))
    value_C = loss_C - control_NC.mean(axis=0)

    mean, error = value_C.mean(), value_C.std(ddof=1) / np.sqrt(n_classes)
    picked_RC = value_C[rng.integers(n_classes, size=(N_RESAMPLES, n_classes))]
    fewer_R = picked_RC[:, 1:].mean(axis=1)
    error_R = picked_RC.std(axis=1, ddof=1) / np.sqrt(n_classes)
    scaled_R = (picked_RC.mean(axis=1) - mean) / np.maximum(error_R, 1e-12)
    beyond = [(100 - LEVEL) / 2, (100 + LEVEL) / 2]
    low, high = np.percentile(scaled_R, beyond)
    half = student.ppf(beyond[1] / 100, n_classes - 1) * error
    ours = mean_over_classes(value_C, influence_CM)
    degrees = (n_classes - 1, freedom(n_classes))
    usual_t, our_t = student.ppf(beyond[1] / 100, degrees)
    usual = (ours.high - ours.value) * usual_t / our_t
    intervals = [
        np.percentile(picked_RC.mean(axis=1), beyond),
        np.percentile(fewer_R, beyond),
        (mean - high * error, mean - low * error),
        (mean - half, mean + half),
        (ours.value - usual, ours.value + usual),
        (ours.low, ours.high),
    ]
    return [bool(ends[0] <= population.mean <= ends[1]) for ends in intervals]


def simulate_class(rng: np.random.Generator, n_images: int) -> bool:
    """Whether the interval of a single class holds its true margin, once."""
    pixels_M = rng.lognormal(5, 1, n_images).round()
    loss_M = 0.4 + IMAGE_SD * rng.standard_normal(n_images)
    loss = float((pixels_M * loss_M).sum() / pixels_M.sum())
    influence_M = pixels_M * (loss_M - loss) / pixels_M.sum()
    margin_N = loss - DRAW_SD * rng.standard_normal(N_DRAWS)
    # The least number of images is what is tried here, so it is passed over.
    n_told = max(n_images, LEAST_IMAGES)
    n_effective = effective_number(pixels_M.astype(np.int64))
    interval = of_one_class(
        float(margin_N.mean()), influence_M, n_told, n_effective, margin_N
    )
    return interval.low <= 0.4 <= interval.high


def write_coverage() -> None:
    """Simulate everything, and write the document."""
    means = []
    for i, (name, population) in enumerate(POPULATIONS.items()):
        for n_classes in N_CLASSES:
            rng = np.random.default_rng([i, n_classes])
            held = [
                simulate_mean(rng, population, n_classes) for _ in range(N_SIMULATIONS)
            ]
            shares = 100 * np.mean(held, axis=0)
            cells = [f"{share:.1f}" for share in shares]
            means.append([name, str(n_classes), *cells])
            print(*means[-1], sep="  ", flush=True)
    singles = []
    for n_images in (3, 5, 10, 20, 50, 200):
        rng = np.random.default_rng(n_images)
        held = [simulate_class(rng, n_images) for _ in range(N_SIMULATIONS)]
        singles.append([str(n_images), f"{100 * np.mean(held):.1f}"])
        print(*singles[-1], sep="  ", flush=True)
    with whole_file(OUT) as partial:
        partial.write_text(_document(means, singles), encoding="utf-8")


def _document(means: list[list[str]], singles: list[list[str]]) -> str:
    columns = {"Classes come from": "<", "Classes": ">"} | dict.fromkeys(METHODS, ">")
    return write_markdown(
        "# How often intervals of suppression hold the truth",
        f"Written by `python benchmarks/suppression_coverage.py`: percent of "
        f"{N_SIMULATIONS:,} simulations in which a {LEVEL} % interval holds the truth. "
        "The standard error is 0.3.",
        "## Means over classes",
        f"Each class has a true effect, is shown by {100 * SHOWN:g} % of {N_IMAGES} "
        "images and is compared with the mean of "
        f"{N_DRAWS} draws of a control (standard deviation {DRAW_SD:g}). An image "
        f"moves the losses of all classes together ({SHARED_SD:g}) and that of each "
        f"class ({IMAGE_SD:g}). The more classes, the more of the error is what they "
        "share, which resamples of classes do not see. The last column is what the "
        "tables use; in the rows without effect, 100 minus the number is how often a "
        "difference is claimed where there is none. In the last rows effects are so "
        "skewed that ten or twelve classes do not show it. Our interval therefore "
        f"takes the excess kurtosis of effects to be {EXCESS_KURTOSIS:g}. It is a "
        "little too wide where a dozen effects are not skewed; with C − 1 degrees of "
        "freedom it would be too narrow where they are. Tables have no interval for "
        f"fewer than {LEAST_CLASSES} classes.",
        TextTable(columns, means),
        "## Single classes",
        "The interval of a class is over its images and the draws of the control. With "
        f"fewer than {LEAST_IMAGES} images none is printed.",
        TextTable({"Images that show the class": ">", "Coverage": ">"}, singles),
    )


if __name__ == "__main__":
    write_coverage()
