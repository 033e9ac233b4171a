"""The project's folder, which has the Snakefile, the package and the scripts."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
