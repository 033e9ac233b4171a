"""What all drawn data sets share: limits, picture files, processes that draw."""

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
    """Save with full colour resolution: small coloured parts are what we test."""
    Image.fromarray(image_HWC).save(path, quality=92, subsampling=0)


def in_order(
    draw: Callable[[Job], Row], jobs: Sequence[Job], n_workers: int
) -> Iterator[Row]:
    """What does `draw` return for each job? Results come in the order of the jobs.

    Args:
        draw: a module's function, since it travels to other processes.
        n_workers: processes; 1 draws in this one.
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
