"""Find the images and masks of a data set that cannot be used, all at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vitproto.activations.ahead import ahead
from vitproto.activations.image_file import GreyRange, read_image
from vitproto.core.progress import progress_bar
from vitproto.segmentation.labels.masks import check_size, read_labels


@dataclass(frozen=True)
class ImageReading:
    """How image files are read."""

    grey_range: GreyRange
    """How grey images of more than 8 bits are scaled: type (16 bits from 0 to 65,535,
    floating-point from 0 to 1), or file (from the lowest to the highest value of each
    image)."""
    most_pixels: int
    """An image with more pixels is refused."""
    n_workers: int
    """Threads that decode images."""


def image_problems(paths: Sequence[Path], reading: ImageReading) -> Iterator[str]:
    """Decode all images, as recording does.

    Yields:
        A sentence for each that cannot be used, in order.
    """
    checks = [
        [partial(read_image, path, reading.grey_range, reading.most_pixels)]
        for path in paths
    ]
    yield from _problems(checks, "images", reading)


def mask_problems(
    pairs: Sequence[tuple[Path, Path]], n_classes: int | None, reading: ImageReading
) -> Iterator[str]:
    """Decode masks, and check their sizes and labels.

    Args:
        pairs: masks and their images.
        n_classes: the highest label; None if that is not known.
        reading: how files are read.

    Yields:
        The sentences for each that cannot be used, in order.
    """
    checks = [
        [partial(check_size, mask, image), partial(read_labels, mask, n_classes)]
        for mask, image in pairs
    ]
    yield from _problems(checks, "masks", reading)


def _problems(
    checks: Sequence[Sequence[Callable]], unit: str, reading: ImageReading
) -> Iterator[str]:
    def told(of_file: Sequence[Callable]) -> list[str]:
        problems = []
        for check in of_file:
            try:
                check()
            except ValueError as error:
                problems.append(str(error))
        return problems

    calls = (partial(told, of_file) for of_file in checks)
    n_workers = reading.n_workers
    results = ahead(calls, n_threads=n_workers, n_ahead=4 * n_workers)
    with progress_bar(len(checks), unit) as progress:
        for problems in results:
            progress.update()
            yield from problems
