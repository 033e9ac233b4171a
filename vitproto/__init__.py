"""Find out whether prototypes in a vision transformer's space find traits in images."""

import os

_LOCATORS = ("BesideSources", "OfUser", "Temporary")

# How numba finds compiled kernels; it reads this when it loads. See kernel_cache.py.
os.environ.setdefault(
    "NUMBA_CACHE_LOCATOR_CLASSES",
    ",".join(f"vitproto.freshness.code.kernel_cache.{name}" for name in _LOCATORS),
)
