"""Prototypes in activation space, whatever the method that chose them."""

from vitproto.prototypes.checkpoint import load

__all__ = ["load"]
