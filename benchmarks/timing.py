"""Time our code against a peer, fairly, and write the comparison as a table.

Fair means: in one process, on the same input, in turns (ours, peer, ours, ...),
after a warm-up. A machine's mood then hits both, and the ratio survives it.
"""

import dataclasses
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison, a line of the table."""

    work: str
    """What was done, in a few words."""
    conditions: str
    """Sizes, types, and whatever a reader would otherwise suspect."""
    ours: str
    """What we did it with."""
    ours_median: float
    peer: str
    """What it is compared with."""
    peer_median: float
    unit: str
    """Unit of both medians: `s`, `GB/s`, `patches/s`."""
    larger_is_better: bool
    """False for times, True for rates."""
    ratio: float
    """How many times better ours is, by the median over pairs: above 1 we win."""
    aim: str
    """What `ratio` should reach, such as `≥ 150 ×`; empty where there is no aim."""


class Paired(NamedTuple):
    """What `paired` measured: medians in seconds, and peer over ours."""

    ours_s: float
    peer_s: float
    ratio: float


def paired(
    ours: Callable[[], object], peer: Callable[[], object], *, n_pairs: int
) -> Paired:
    """The number of times that `ours` is faster than `peer`, by wall time.

    Each is called once untimed, then `n_pairs` times in turns. The ratio is the
    median of the pairwise ratios, not the ratio of the medians: two neighbours in
    time share the machine's mood.
    """
    ours()
    peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(n_pairs)]
    return Paired(
        ours_s=statistics.median(a for a, _ in pairs),
        peer_s=statistics.median(b for _, b in pairs),
        ratio=statistics.median(b / a for a, b in pairs),
    )


def seconds(call: Callable[[], object]) -> float:
    """The seconds of wall time that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def machine() -> str:
    """What ran the benchmark: one Markdown list item a line."""
    cpu = _cpuinfo()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
    isa = [flag for flag in wanted if flag in cpu.get("flags", "").split()]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    model = (
        f"{cpu.get('model name', platform.processor() or platform.machine())}"
        f" (family {cpu.get('cpu family', '?')}, model {cpu.get('model', '?')})"
    )
    return (
        f"- CPU: {model}, {_n_cores()} cores, {' '.join(isa) or 'no known ISA flags'}\n"
        f"- GPU: {gpu}\n"
        f"- torch {torch.__version__} with {torch.get_num_threads()} threads,"
        f" numpy {np.__version__}, Python {platform.python_version()}\n"
    )


def markdown_table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table that ends with a newline."""
    header = ("work", "conditions", "ours", "peer", "ratio", "aim")
    lines = [header, ("---",) * len(header)]
    lines += [
        (
            row.work,
            row.conditions,
            f"{row.ours}: {_number(row.ours_median)} {_unit(row)}",
            f"{row.peer}: {_number(row.peer_median)} {_unit(row)}",
            f"**{_number(row.ratio)} ×**",
            row.aim,
        )
        for row in rows
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def run_alone(bench: Callable[[], list[Row]]) -> None:
    """Make a benchmark module a script: time it, print the machine and the table.

    With a path as the only argument the rows are also written there as JSON, which
    is how `run_all.py` reads them out of a fresh process.
    """
    rows = bench()
    print(f"{machine()}\n{markdown_table(rows)}", flush=True)
    if sys.argv[1:]:
        records = [dataclasses.asdict(row) for row in rows]
        Path(sys.argv[1]).write_text(json.dumps(records), encoding="utf-8")


def _unit(row: Row) -> str:
    return f"{row.unit} {'↑' if row.larger_is_better else '↓'}"


def _number(value: float) -> str:
    """Three significant digits, with thousands separated and no exponent."""
    if value == 0:
        return "0"
    n_decimals = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{n_decimals}f}"


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; empty where there is none."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return {}
    pairs = (
        line.split(":", 1)
        for line in file.read_text(encoding="utf-8").split("\n\n")[0].split("\n")
    )
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def _n_cores() -> int:
    """The cores that this process may use, which in a container are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
