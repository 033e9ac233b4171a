"""Draw many pictures in a few processes, in an order that no process decides."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Job = TypeVar("Job")
Row = TypeVar("Row")


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
    progress = tqdm(total=len(jobs), desc="draw", unit="image", mininterval=2)
    with progress:
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
