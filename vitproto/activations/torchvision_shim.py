"""Import open_clip where torchvision cannot be imported, beside a CPU-only torch."""

import importlib
import sys
from types import ModuleType

import torch

# Schemas vanish with the object that defined them.
_SCHEMAS: list[torch.library.Library] = []


def import_open_clip() -> ModuleType:
    """`import open_clip`, also if torchvision's operators do not load.

    The package index has torchvision built for CUDA. Beside a CPU-only torch its
    operators are missing, so its import fails. Their schemas are enough to import it;
    we do not use the operators.
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
