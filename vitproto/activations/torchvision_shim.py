"""open_clip imports torchvision, which fails beside a CPU-only torch."""

import importlib
import sys
from types import ModuleType

import torch

# Schemas vanish with the object that defined them.
_SCHEMAS: list[torch.library.Library] = []


def import_open_clip() -> ModuleType:
    """`import open_clip`, also where torchvision's operators do not load.

    The package index serves torchvision built for CUDA. Beside a CPU-only torch
    its import fails because the operators that its Python code decorates are
    missing. Their schemas alone are enough to import it; we use none of them.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float threshold) -> Tensor")
        _SCHEMAS.append(library)
    return importlib.import_module("open_clip")
