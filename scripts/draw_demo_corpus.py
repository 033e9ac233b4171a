"""Draw unlabelled invented birds in folders by species."""

from pathlib import Path

from vitproto.demo.write_corpus import DemoCorpus, write_demo_corpus
from vitproto.launch.cli import run


def draw_demo_corpus(root: Path, *, cfg: DemoCorpus, n_workers: int) -> None:
    """Draw the image folders that prototypes of the demo are fitted to.

    Args:
        root: Folder to create, for one folder per species.
        cfg: Numbers of birds.
        n_workers: Number of processes; the bytes do not depend on it.
    """
    write_demo_corpus(root, cfg, n_workers)


if __name__ == "__main__":
    run(draw_demo_corpus)
