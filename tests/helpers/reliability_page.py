"""Write docs/reruns.md: edits, failures, and the rules that ran again."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from reliability import EDITS, FAILURES
from study_copy import PROJECT

PAGE = PROJECT / "docs/reruns.md"

_HEAD = """# What reruns when

Written by `make reliability`; do not edit. Each row is a finished study (two families
of prototypes, two shards) that was edited and run again to `map_table.md`. Exactly the
rules in the second column ran again, and the tables were the same as those of a study
that was edited before its first run, or as before where nothing that makes them ran.

"""

_FAILURES = """
## When the run fails

Where a cell is filled, the run after the edit was made to fail in a stage drawn at
random, just before that stage would have written its first result, and the same
command was run again (after `snakemake --unlock` if Snakemake itself was killed). The
cell shows the stage, and how many jobs succeeded in the run that failed and in the next
one. Each time exactly the rules above ran, and the tables were the same as those of a
new study. Refused input is a damaged line in the file of labels, repaired before the
second run. After Ctrl-C, Snakemake lets the running stage finish, but does not report
it: that job is not counted. Empty cells were not tried in the run that wrote this page.

"""


class Outcome(NamedTuple):
    """The jobs of a run that failed, and of the next."""

    stage: str
    n_first: int
    n_second: int


def write_page(outcomes: Mapping[tuple[str, str], Outcome]) -> None:
    """Write the page.

    Args:
        outcomes: by edit and kind of failure.
    """
    rows = [["edit", "runs again"], ["---", "---"]]
    rows += [[name, _rules(edit.reruns)] for name, edit in EDITS.items()]
    text = _HEAD + _table(rows) + _FAILURES
    rows = [["edit", *FAILURES.values()], ["---"] * (1 + len(FAILURES))]
    for name in (name for name, edit in EDITS.items() if edit.reruns):
        row = [outcomes.get((name, failure)) for failure in FAILURES]
        cells = [f"{o.stage} {o.n_first} + {o.n_second}" if o else "" for o in row]
        rows.append([name, *cells])
    PAGE.write_text(text + _table(rows), encoding="utf-8")


def read_page() -> dict[str, list[str]]:
    """Read the rules that run again after each edit from the page."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    first = text.split("\n## ")[0]
    reruns = {}
    for name, rules in re.findall(r"^\| (.+?) \| (.+?) \|$", first, re.M):
        counted = re.findall(r"(\w+)(?: × (\d+))?", rules.replace("nothing", ""))
        reruns[name] = [rule for rule, n in counted for _ in range(int(n or 1))]
    return {name: reruns[name] for name in list(reruns)[2:]}


def _rules(rules: list[str]) -> str:
    counts = Counter(rules).items()
    words = [f"{rule} × {n}" if n > 1 else rule for rule, n in counts]
    return ", ".join(words) or "nothing"


def _table(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
