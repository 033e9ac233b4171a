"""Where the project lies: the folder of the Snakefile, the package and the scripts."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
