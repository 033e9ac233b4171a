"""In which order tests run."""


def pytest_collection_modifyitems(items):
    """Whole studies first: where tests run side by side, none is left to run alone."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)
