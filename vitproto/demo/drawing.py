"""Shared parts of all drawn data sets: limits, picture files, processes."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from vitproto.core.progress import progress_bar

Job = TypeVar("Job")
Row = TypeVar("Row")


def save_jpeg(image_HWC: np.ndarray, path: Path) -> None:
    """Save with full colour resolution, since small coloured parts are tested."""
    Image.fromarray(image_HWC).save(path, quality=92, subsampling=0)


def in_order(
    draw: Callable[[Job], Row], jobs: Sequence[Job], n_workers: int
) -> Iterator[Row]:
    """The results of `draw` in the order of the jobs.

    Args:
        draw: a function at the top of a module, so that it can be pickled.
        n_workers: number of processes; 1 draws in this process.
    """
    if n_workers < 1:
        raise ValueError(f"n_workers must be at least 1, got {n_workers}")
    with progress_bar(len(jobs), "images") as progress:
        if n_workers == 1:
            for job in jobs:
                yield draw(job)
                progress.update()
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n_workers, mp_context=context) as pool:
            for row in pool.map(draw, jobs, chunksize=16):
                yield row
                progress.update()
