"""Draw the graphs of the rules and the jobs of a study."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.core.project import PROJECT
from vitproto.launch.cli import run
from vitproto.launch.dry_run import dry_run
from vitproto.launch.graphs import job_graph, rule_graph
from vitproto.study.read_study import read_study

WRITTEN = "Written by `make graph`; do not edit."


def draw_graphs(config: Path, *, rules: Path, jobs: Path) -> None:
    """Draw the graphs of the rules and the jobs of a study.

    Needs no data, no SLURM and no GPU.

    Args:
        config: The study, such as config/config.yaml.
        rules: The Markdown file to write the graph of rules to.
        jobs: The Markdown file to write the graph of jobs to.
    """
    study = read_study(config)
    graph_jobs = dry_run(config, PROJECT).jobs
    graphs = {
        rules: ("Rules", rule_graph(graph_jobs)),
        jobs: ("Jobs", job_graph(graph_jobs)),
    }
    for path, (what, graph) in graphs.items():
        text = f"# {what} of the study {study['study']}\n\n{WRITTEN}\n\n{graph}"
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(draw_graphs)
