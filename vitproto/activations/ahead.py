"""Call functions in background threads, and yield their results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(
    calls: Iterable[Callable[[], T]], *, n_threads: int, n_ahead: int
) -> Iterator[T]:
    """Yield the result of each call, in order, while the next calls are running.

    At most `n_ahead` results wait. A call starts only when the caller asks for the next
    result. If the caller stops early, calls that have not started are dropped.
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
