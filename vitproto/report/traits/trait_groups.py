"""Groups of traits: by attribute, and by kind of attribute."""

KINDS = {
    "_color": "colour",
    "_pattern": "pattern",
    "_shape": "shape",
    "_size": "size",
    "_length": "size",
}
"""Endings of the names of attributes, and the kind of their values."""

OTHER = "other"


def find_group(trait: str) -> str:
    """The attribute of a trait: `has_wing_color` for `has_wing_color::blue`.

    A trait whose name has no `::` is a group of its own.
    """
    return trait.split("::", maxsplit=1)[0]


def find_kind(trait: str) -> str:
    """The kind of a trait: `colour`, `pattern`, `shape`, `size` or `other`."""
    group = find_group(trait)
    for ending, kind in KINDS.items():
        if group.endswith(ending):
            return kind
    return OTHER
