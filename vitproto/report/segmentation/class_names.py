"""Names of classes in sentences."""

from collections.abc import Iterable

from vitproto.report.shared.wording import join_names


def short_name(name: str) -> str:
    """The first of a class's names: `building` for ADE20K's `building, edifice`."""
    return name.split(",")[0].strip()


def list_classes(classes: Iterable[tuple[int, str]]) -> str:
    """List labels and names: `2 building, 7 lamp and 9 bed`."""
    return join_names([f"{label} {short_name(name)}" for label, name in classes])
