"""Which prototype finds which trait: image scores, AP and selection."""

from vitproto.traits.average_precision import average_precision

__all__ = ["average_precision"]
