"""Thread pool; results do not depend on its size."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_core_each() -> Iterator[ThreadPoolExecutor]:
    """A pool with as many threads as torch uses, each of which uses one core."""
    n_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as workers:
            yield workers
    finally:
        # For new threads, torch uses the number that was last set in any thread.
        torch.set_num_threads(n_threads)
