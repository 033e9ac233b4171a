"""Prototypes in activation space: one interface, one file per method.

Kept free of imports, so that a table or a page loads no torch. `checkpoint.load` reads
prototypes.
"""
