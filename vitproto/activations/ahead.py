"""Work done in background threads while its results are awaited in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(
    calls: Iterable[Callable[[], T]], *, n_threads: int, n_ahead: int
) -> Iterator[T]:
    """Yield what each call returns, in order, with the next calls already running.

    No more than `n_ahead` results wait, and a call starts only once the caller has
    come back for the next result. When the caller stops early, calls that have not
    started are dropped.
    """
    waiting: deque[Future[T]] = deque()
    executor = ThreadPoolExecutor(n_threads)
    try:
        for call in calls:
            waiting.append(executor.submit(call))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
