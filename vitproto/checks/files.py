"""Find the images and masks of a data set that cannot be used, all at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vitproto.activations.ahead import ahead
from vitproto.activations.image_file import GreyRange, read_image
from vitproto.core.progress import progress_bar
from vitproto.data.ade20k import mask_path
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

    def check(path: Path) -> None:
        read_image(path, reading.grey_range, reading.most_pixels)

    yield from _problems([partial(check, path) for path in paths], "images", reading)


def mask_problems(
    root: Path, paths: Sequence[str], n_classes: int, reading: ImageReading
) -> Iterator[str]:
    """Decode the masks of all images, and check their sizes and labels.

    Args:
        root: the folder of the data set, in ADE20K's layout.
        paths: of the images, relative to `root`.
        n_classes: the highest label.
        reading: how files are read.

    Yields:
        A sentence for each that cannot be used, in order.
    """

    def check(path: str) -> None:
        mask = mask_path(root, path)
        check_size(mask, root / path)
        read_labels(mask, n_classes)

    yield from _problems([partial(check, path) for path in paths], "masks", reading)


def _problems(
    checks: Sequence[partial[None]], unit: str, reading: ImageReading
) -> Iterator[str]:
    def told(check: partial[None]) -> str | None:
        try:
            check()
        except ValueError as error:
            return str(error)
        return None

    calls = (partial(told, check) for check in checks)
    n_workers = reading.n_workers
    results = ahead(calls, n_threads=n_workers, n_ahead=4 * n_workers)
    with progress_bar(len(checks), unit) as progress:
        for problem in results:
            progress.update()
            if problem is not None:
                yield problem
