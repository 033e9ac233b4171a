"""Draw the demo data set: invented birds in CUB-200-2011's layout."""

from pathlib import Path

from vitproto.demo.write_birds import DemoBirds, write_demo_birds
from vitproto.launch.cli import run


def draw_demo_birds(root: Path, *, cfg: DemoBirds, n_workers: int) -> None:
    """Draw invented birds with known traits, in the layout of CUB-200-2011.

    Args:
        root: Folder to create, for CUB_200_2011/ and attributes.txt.
        cfg: Numbers of birds.
        n_workers: Number of processes; the bytes do not depend on it.
    """
    write_demo_birds(root, cfg, n_workers)


if __name__ == "__main__":
    run(draw_demo_birds)
