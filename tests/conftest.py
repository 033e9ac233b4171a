"""In which order tests run, and which kernels they may use."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure():
    """Check compiled kernels as stages do, so that copies of the project share ours."""
    # Not before jaxtyping's hook, which checks only what is imported later. Numba,
    # which a test may import first, reads what the package sets when it loads.
    import vitproto  # noqa: F401


def pytest_collection_modifyitems(items):
    """Whole studies first: where tests run side by side, none is left to run alone."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)
