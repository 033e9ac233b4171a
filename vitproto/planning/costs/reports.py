"""The cost of tables, charts, pages and lists: stages without one of their own."""

from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import (
    AP_ROW,
    AP_ROW_READ,
    CHARTS,
    N_TRAITS,
    PANDAS,
    StudySizes,
)

SMALL = Written(results=2e6)
"""A chart or a page."""


def any_report(job: PlannedJob, study: StudySizes) -> Cost:
    """The cost of reading the AP of all runs and traits, where a study has them."""
    # Only tables and pages do without Matplotlib.
    memory = PANDAS if job.rule.startswith(("tabulate_", "write_")) else CHARTS
    if "selection" not in study.config:
        return study.cost(0, 0, memory, SMALL)
    n_runs = sum(map(len, study.families.values()))
    n_rows = N_TRAITS * n_runs * len(study.subsets)
    memory += AP_ROW_READ * n_rows
    return study.cost(0, AP_ROW * n_rows, memory, SMALL)
