"""Find the images and masks of a data set that cannot be used, all at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.activations.ahead import ahead
from vitproto.activations.image_file import GreyRange, naming_image, read_image
from vitproto.core.files import sha256_of
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


class CheckedImage(NamedTuple):
    """What was found in an image file."""

    sha256: bytes
    """Taken before it was decoded, so that a file that is replaced meanwhile counts as
    another one. Empty if there is a problem."""
    problem: str | None
    """A sentence that says why it cannot be used."""


def checked_images(
    paths: Sequence[Path], reading: ImageReading
) -> Iterator[CheckedImage]:
    """Decode all images, as recording does, and yield what was found, in order."""

    def check(path: Path) -> CheckedImage:
        try:
            with naming_image(path, "an image"):
                sha256 = sha256_of(path)
            read_image(path, reading.grey_range, reading.most_pixels)
        except ValueError as error:
            return CheckedImage(b"", str(error))
        return CheckedImage(sha256, None)

    yield from _each(check, paths, "images", reading)


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

    def check(pair: tuple[Path, Path]) -> list[str]:
        mask, image = pair
        return [
            *_told_by(partial(check_size, mask, image)),
            *_told_by(partial(read_labels, mask, n_classes)),
        ]

    for problems in _each(check, pairs, "masks", reading):
        yield from problems


def _told_by(check: Callable) -> list[str]:
    """The sentence in which a check fails, if it does."""
    try:
        check()
    except ValueError as error:
        return [str(error)]
    return []


def _each(
    check: Callable, items: Sequence, unit: str, reading: ImageReading
) -> Iterator[Any]:
    """The results of a check of many files, in order, with progress."""
    calls = (partial(check, item) for item in items)
    n_workers = reading.n_workers
    with progress_bar(len(items), unit) as progress:
        for result in ahead(calls, n_threads=n_workers, n_ahead=4 * n_workers):
            progress.update()
            yield result
