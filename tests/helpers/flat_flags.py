"""Call a stage with flat arguments, as on the command line."""

import dataclasses
import inspect


def call_flat(stage, **flat):
    """Call a stage; arguments of its settings objects are given by their fields.

    An argument that the stage itself has is passed as it is, also a whole object.
    """
    unused = dict(flat)
    arguments = {
        name: unused.pop(name) if name in unused else _collect(kind.annotation, unused)
        for name, kind in inspect.signature(stage).parameters.items()
    }
    assert not unused, f"the stage takes no {', '.join(unused)}"
    return stage(**arguments)


def _collect(kind, unused):
    """An object of this dataclass, from the arguments with the names of its fields."""
    return kind(
        **{
            field.name: (
                unused.pop(field.name)
                if field.name in unused
                else _collect(field.type, unused)
            )
            for field in dataclasses.fields(kind)
        }
    )
