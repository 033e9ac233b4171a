"""Run every benchmark and write docs/benchmarks.md, whole or not at all.

`python benchmarks/run_all.py average_precision` runs one again, and replaces its
section.
"""

import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from timing import Row, machine, markdown_table

from vitproto.core.files import whole_file

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "docs" / "benchmarks.md"

HEAD = """\
# Benchmarks

Written by `python benchmarks/run_all.py` (`make bench`). Each benchmark ran in a fresh
process, one after the other, against its peer in turns on the same input. Seconds and
rates belong to this machine; only the ratios are claims. A ratio says how many times
better ours is: above 1 × we win. Larger is better where a unit carries ↑, smaller where
it carries ↓.
"""


def run_all(names: Sequence[str]) -> None:
    """Run benchmarks one after the other; the first that fails stops everything.

    Args:
        names: those to run, such as `average_precision`; all if there are none.
    """
    files = {file.stem.removeprefix("bench_"): file for file in HERE.glob("bench_*.py")}
    if unknown := [name for name in names if name not in files]:
        sys.exit(f"there is no {unknown[0]}; there are: {', '.join(sorted(files))}")
    sections = {}
    if names:
        kept = OUT.read_text(encoding="utf-8").split("\n## ")[1:]
        sections = {_name_of(text): text for text in kept}
    chosen = sorted(names or files)
    for i, name in enumerate(chosen, 1):
        print(f"[{i}/{len(chosen)}] {name}", flush=True)
        start = time.monotonic()
        rows = _rows_of(files[name])
        print(f"[{i}/{len(chosen)}] {name}: {time.monotonic() - start:.0f} s")
        date = datetime.date.today().isoformat()
        table = markdown_table(rows).strip()
        title = name.replace("_", " ").capitalize()
        where = f"Measured on {date}.\n\n{machine()}"
        sections[name] = f"{title}\n\n{where}\n{table}\n"
    text = "\n## ".join([HEAD, *(sections[name] for name in sorted(sections))])
    with whole_file(OUT) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"wrote {OUT}")


def _name_of(section: str) -> str:
    return section.split("\n", 1)[0].lower().replace(" ", "_")


def _rows_of(file: Path) -> list[Row]:
    """The rows of one benchmark, run as a script: a crash cannot touch the others."""
    with tempfile.TemporaryDirectory() as folder:
        rows_json = Path(folder) / "rows.json"
        done = subprocess.run([sys.executable, str(file), str(rows_json)], check=False)
        if done.returncode != 0:
            sys.exit(f"{file.name} failed; {OUT} is left as it was")
        return [Row(**record) for record in json.loads(rows_json.read_text())]


if __name__ == "__main__":
    run_all(sys.argv[1:])
