"""Work shared among cores so that their number changes no bit of the result."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_core_each() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch would use for one operation, with one core for each."""
    n_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as workers:
            yield workers
    finally:
        # torch keeps the last number set, in whatever thread, for threads to come.
        torch.set_num_threads(n_threads)
