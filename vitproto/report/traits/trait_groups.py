"""Which traits belong together? Those of one attribute, and those of one kind."""

KINDS = {
    "_color": "colour",
    "_pattern": "pattern",
    "_shape": "shape",
    "_size": "size",
    "_length": "size",
}
"""How the names of attributes end, and what their values then are."""

OTHER = "other"


def find_group(trait: str) -> str:
    """The attribute that a trait is a value of: `has_wing_color` of `…::blue`.

    A trait whose name has no `::` is a group of its own.
    """
    return trait.split("::", maxsplit=1)[0]


def find_kind(trait: str) -> str:
    """What a trait is about: `colour`, `pattern`, `shape`, `size` or `other`."""
    group = find_group(trait)
    for ending, kind in KINDS.items():
        if group.endswith(ending):
            return kind
    return OTHER
