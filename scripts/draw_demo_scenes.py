"""Draw invented birds with part masks in ADE20K's layout."""

from pathlib import Path

from vitproto.demo.write_scenes import DemoScenes, write_demo_scenes
from vitproto.launch.cli import run


def draw_demo_scenes(root: Path, *, cfg: DemoScenes, n_workers: int) -> None:
    """Draw invented birds with a class for every pixel, in the layout of ADE20K.

    Args:
        root: Folder to create, for ADEChallengeData2016/.
        cfg: Numbers of scenes.
        n_workers: Number of processes; the bytes do not depend on it.
    """
    write_demo_scenes(root, cfg, n_workers)


if __name__ == "__main__":
    run(draw_demo_scenes)
