"""Image scores, average precision, and the choice of a prototype for each trait.

Kept free of imports, so that the guard of labels loads no numba.
"""
