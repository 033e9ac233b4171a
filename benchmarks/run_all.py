"""Run every benchmark and write docs/benchmarks.md, whole or not at all."""

import datetime
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import Row, machine, markdown_table

from vitproto.core.files import whole_file

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "docs" / "benchmarks.md"

HEAD = """\
# Benchmarks

Written by `python benchmarks/run_all.py` (`make bench`) on {date}. Each benchmark
ran in a fresh process, one after the other, against its peer in turns on the same
input. Seconds and rates belong to this machine; only the ratios are claims. A ratio
says how many times better ours is: above 1 × we win. Larger is better where a unit
carries ↑, smaller where it carries ↓.

{machine}"""


def run_all() -> None:
    """Run `bench_*.py` one after the other; the first that fails stops everything."""
    files = sorted(HERE.glob("bench_*.py"))
    text = HEAD.format(date=datetime.date.today().isoformat(), machine=machine())
    for i, file in enumerate(files, 1):
        print(f"[{i}/{len(files)}] {file.name}", flush=True)
        start = time.monotonic()
        rows = _rows_of(file)
        print(f"[{i}/{len(files)}] {file.name}: {time.monotonic() - start:.0f} s")
        title = file.stem.removeprefix("bench_").replace("_", " ").capitalize()
        text += f"\n## {title}\n\n{markdown_table(rows)}"
    with whole_file(OUT) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"wrote {OUT}")


def _rows_of(file: Path) -> list[Row]:
    """The rows of one benchmark, run as a script: a crash cannot touch the others."""
    with tempfile.TemporaryDirectory() as folder:
        rows_json = Path(folder) / "rows.json"
        done = subprocess.run([sys.executable, str(file), str(rows_json)], check=False)
        if done.returncode != 0:
            sys.exit(f"{file.name} failed; {OUT} is left as it was")
        return [Row(**record) for record in json.loads(rows_json.read_text())]


if __name__ == "__main__":
    run_all()
