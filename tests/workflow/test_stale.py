"""What `make stale` says is what a run does, whatever Snakemake remembers."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from study_copy import FEATURES, environment, snakemake

LAYER = "results/tiny/tiny-vit/layer3"
EVERYTHING = ("--configfile", "tiny.yaml")


def script(workdir: Path, name: str) -> tuple[int, str]:
    """The exit status of a script, and what it says of the tiny study."""
    shown = subprocess.run(
        [sys.executable, f"scripts/{name}.py", "tiny.yaml"],
        cwd=workdir,
        env=environment(workdir),
        capture_output=True,
        text=True,
    )
    assert shown.returncode in (0, 1), shown.stderr
    assert shown.stdout, shown.stderr
    return shown.returncode, shown.stdout


def find_stale(workdir: Path) -> tuple[int, str]:
    """The same of `make stale`, for a study without Snakemake's memory."""
    shutil.rmtree(workdir / ".snakemake", ignore_errors=True)
    return script(workdir, "find_stale")


def called_due(said: str) -> Counter[str]:
    """The jobs that a text calls due, perhaps or not, by rule."""
    lines = re.findall(r"^\d+ (?:of|more|only).*?: (.*)$", said, re.M)
    counts = re.findall(r"(\w+) (\d+)", ", ".join(lines))
    return Counter({rule: int(n) for rule, n in counts})


def in_dry_run(workdir: Path) -> Counter[str]:
    shown = snakemake(workdir, "-n", *EVERYTHING)
    assert shown.returncode == 0, shown.stdout
    rules = re.findall(r"^(?:local)?rule (\w+):", shown.stdout, re.M)
    return Counter(rule for rule in rules if rule != "all")


def rules_run(shown: str) -> list[str]:
    return sorted(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", shown, re.M))


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def add_line(file: Path) -> None:
    file.write_text(file.read_text() + "\n")


def set_key(workdir: Path, *path: str, to: object) -> None:
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    section = study
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = to
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))


def fix_the_label_loader(workdir: Path) -> None:
    replace(workdir / "vitproto/data/label_rule.py", "PRESENT = 8", "PRESENT = 16")


def change_a_chart_and_the_features(workdir: Path) -> None:
    replace(
        workdir / "vitproto/report/traits/map_chart.py",
        'axis.set_xscale("log")',
        'axis.set_xscale("linear")',
    )
    set_key(workdir, "features", "n_images", to=2)


def test_a_finished_study_is_fresh_however_it_is_touched_and_run(workdir):
    for part in ("vitproto", "scripts"):
        for file in (workdir / part).rglob("*.py"):
            file.write_text(file.read_text() + "\n# a comment\n\n\nUNUSED = 1\n")
    for n, file in enumerate(sorted(workdir.rglob("*"))):
        os.utime(file, (1e9 + n % 100, 1e9 + n % 100))
    set_key(workdir, "how", "batch_size", to=64)
    set_key(workdir, "how", "device", to="auto")
    set_key(workdir, "datasets", "tiny_birds", "n_shards", to=3)
    status, said = find_stale(workdir)
    assert said.startswith("0 of ")
    assert "Missing: record_activations 3, tabulate_cost 1\n" in said
    assert called_due(said) == {"tabulate_cost": 1}
    assert status == 0


@pytest.mark.parametrize(
    "edit",
    [
        change_a_chart_and_the_features,
        fix_the_label_loader,
        lambda workdir: shutil.rmtree(workdir / LAYER / "pca/.origins"),
        lambda workdir: (workdir / LAYER / "pca/ap.csv").unlink(),
        lambda workdir: shutil.rmtree(workdir / "results/tiny"),
        lambda workdir: shutil.rmtree(workdir / "results/data"),
    ],
    ids=["settings", "labels", "notes", "an ap.csv", "tables", "data"],
)
def test_stale_plan_and_dry_run_call_the_same_jobs_due(workdir, edit):
    edit(workdir)
    due = in_dry_run(workdir)
    assert called_due(script(workdir, "find_stale")[1]) == due
    assert called_due(script(workdir, "plan_study")[1]) == due


def test_a_run_makes_just_what_is_stale(workdir):
    """Also where results were copied without their dates."""
    for n, file in enumerate(sorted((workdir / "results").rglob("*"))):
        os.utime(file, (1e9 + n, 1e9 + n))
    change_a_chart_and_the_features(workdir)
    status, said = find_stale(workdir)
    assert status == 1
    charts = "results/tiny/map_chart.png and 1 more\n"
    charts += "    vitproto/report/traits/map_chart.py: "
    assert re.search(rf"^plot_map: {re.escape(charts)}\w+ changed$", said, re.M)
    assert f"show_features: {FEATURES}\n    n_images: 3 → 2\n" in said
    assert "Results made from these are stale too: write_map_page 1\n" in said
    assert "5 of " in said
    shown = snakemake(workdir, "results/tiny/index.html", *EVERYTHING)
    assert shown.returncode == 0, shown.stdout
    assert rules_run(shown.stdout) == [
        *("plot_map", "show_features", "show_traits", "write_map_page")
    ]
    assert find_stale(workdir)[1].startswith("0 of ")


def test_a_job_that_failed_leaves_no_result_and_stays_due(workdir):
    replace(
        workdir / "vitproto/report/traits/map_chart.py",
        'axis.set_xscale("log")',
        'raise OSError("the disk is full")',
    )
    shown = snakemake(workdir, "results/tiny/index.html", *EVERYTHING)
    assert shown.returncode != 0
    assert not (workdir / "results/tiny/map_chart.png").exists()
    assert not (workdir / "results/tiny/.origins/map_chart.png.json").exists()
    assert (workdir / "results/tiny/.origins/map_table.md.json").exists()
    status, said = find_stale(workdir)
    assert status == 1
    assert called_due(said).keys() >= {"plot_map", "write_map_page"}


def run_before(stage: Path, code: str) -> None:
    """Let a stage run some code first, as somebody who edits while it starts."""
    replace(stage, "\nif __name__", f"\n{code}\nif __name__")


def test_a_run_that_ends_well_but_leaves_something_stale_fails(workdir):
    """Somebody edits code while it goes on."""
    stage = workdir / "scripts/plot_map.py"
    edit = (
        "from pathlib import Path as P\n"
        'table = P("vitproto/report/traits/layer_table.py")\n'
        "table.write_text(table.read_text() + '\\n\\nnew = print()\\n')\n"
    )
    run_before(stage, edit)
    shown = snakemake(workdir, "results/tiny/map_chart.png", *EVERYTHING)
    assert shown.returncode == 0, shown.stdout
    stage.write_text(stage.read_text().replace("new = print()", "other = print()"))
    targets = ("results/tiny/map_chart.png", "results/tiny/layer_table.md")
    first = ("--prioritize", "results/tiny/layer_table.md", "--cores", "1")
    shown = snakemake(workdir, *targets, *EVERYTHING, *first, "--quiet")
    assert shown.returncode != 0, shown.stdout
    assert "1 job is still due, since code, settings or files changed" in shown.stdout
    assert "compare_layers" in shown.stdout


def test_a_run_whose_configuration_changed_meanwhile_fails(workdir):
    """Its results are right, but not those that the file asks for now."""
    stage = workdir / "scripts/plot_map.py"
    edit = (
        "from pathlib import Path as P\n"
        'study = P("tiny.yaml")\n'
        'study.write_text(study.read_text().replace("n_iters: 5", "n_iters: 4"))\n'
    )
    run_before(stage, edit)
    shown = snakemake(workdir, "results/tiny/map_chart.png", *EVERYTHING)
    assert shown.returncode != 0
    assert "tiny.yaml changed during this run, so its results" in shown.stdout
    shown = snakemake(workdir, "results/tiny/map_chart.png", *EVERYTHING)
    assert shown.returncode == 0, shown.stdout
    assert "fit_kmeans" in shown.stdout


def test_code_that_changes_while_a_stage_starts_is_not_run(workdir):
    """Results would be noted as those of the code of before."""
    stage = workdir / "scripts/plot_map.py"
    edit = (
        "from pathlib import Path as P\n"
        'chart = P("vitproto/report/traits/map_chart.py")\n'
        'if "new = print()" not in chart.read_text():\n'
        "    chart.write_text(chart.read_text() + '\\n\\nnew = print()\\n')\n"
    )
    run_before(stage, edit)
    chart = ("results/tiny/map_chart.png", *EVERYTHING)
    shown = snakemake(workdir, *chart)
    assert shown.returncode != 0
    said = "plot_map: its code changed as it started: run the command again"
    assert said in shown.stdout
    assert snakemake(workdir, *chart).returncode == 0


def test_an_input_that_changes_back_while_it_is_read_vouches_for_nothing(workdir):
    stage = workdir / "scripts/record_activations.py"
    edit = (
        "from pathlib import Path as P\n"
        'file = P("encoders/demo/open_clip_config.json")\n'
        "text = file.read_text()\n"
        "file.write_text('{}')\n"
        "file.write_text(text)\n"
    )
    run_before(stage, edit)
    (shard,) = workdir.glob("results/activations/tiny_corpus/*/*/shard-*.h5")
    shown = snakemake(workdir, str(shard.relative_to(workdir)), *EVERYTHING)
    assert shown.returncode != 0
    assert (
        "open_clip_config.json changed while it ran, so it is still due" in shown.stdout
    )
    assert "1 job is still due" in shown.stdout


def test_checkpoints_that_move_rerun_nothing(workdir):
    before = in_dry_run(workdir)
    set_key(workdir, "storage", "checkpoints", to="elsewhere")
    shutil.move(workdir / "results/checkpoints", workdir / "elsewhere")
    assert in_dry_run(workdir) == before


def test_touch_is_refused_and_changes_nothing(workdir):
    change_a_chart_and_the_features(workdir)
    before = in_dry_run(workdir)
    shown = snakemake(workdir, "--touch", *EVERYTHING)
    assert shown.returncode != 0
    assert "--touch would mark results as fresh that today's code" in shown.stdout
    assert in_dry_run(workdir) == before


def test_leaving_out_rules_is_refused_and_changes_nothing(workdir):
    before = in_dry_run(workdir)
    only = ("results/tiny/map_table.md", "--allowed-rules", "tabulate_map")
    shown = snakemake(workdir, *only, *EVERYTHING)
    assert shown.returncode != 0
    assert "--allowed-rules leaves out jobs that decide what is due" in shown.stdout
    assert in_dry_run(workdir) == before


def remove_a_picture(workdir):
    next((workdir / FEATURES).rglob("*.jpg")).unlink()


def change_a_drawn_label(workdir):
    labels = "results/data/tiny_birds/**/image_attribute_labels.txt"
    (file,) = workdir.glob(labels)
    first, *others = file.read_text().splitlines()
    words = first.split()
    words[2] = "1" if words[2] == "0" else "0"
    file.write_text("\n".join([" ".join(words), *others, ""]))


def test_what_lies_in_a_folder_that_a_job_made_counts(workdir):
    before = in_dry_run(workdir)
    change_a_drawn_label(workdir)
    status, said = find_stale(workdir)
    assert status == 1
    assert (
        "draw_demo_birds 1: results/data/tiny_birds changed after it was made" in said
    )
    assert in_dry_run(workdir) == before  # tables are those of what was drawn
    remove_a_picture(workdir)
    said = find_stale(workdir)[1]
    assert f"show_features 1: {FEATURES} changed after it was made" in said
    # What needs the drawing again has it drawn again.
    both = Counter(["show_features", "draw_demo_birds"])
    assert in_dry_run(workdir) == before + both
    fix_the_label_loader(workdir)
    assert in_dry_run(workdir).keys() >= {"draw_demo_birds", "read_traits"}


def exchange_two_charts(workdir):
    rules = workdir / "workflow/rules/report_traits.smk"
    of_maps, of_layers = (f'f"{{STUDY}}/{name}_chart.svg"' for name in ("map", "layer"))
    replace(rules, f"map_chart={of_maps}", "map_chart=?")
    replace(rules, f"layer_chart={of_layers}", f"layer_chart={of_maps}")
    replace(rules, "map_chart=?", f"map_chart={of_layers}")


@pytest.mark.parametrize(
    ("edit", "stale", "why"),
    [
        (
            fix_the_label_loader,
            ["read_traits", "compare_methods"],  # which also tries other label rules
            "vitproto/data/label_rule.py: PRESENT changed",
        ),
        (
            lambda workdir: set_key(workdir, "methods", "kmeans", "n_iters", to=4),
            ["fit_kmeans"],
            "n_iters: 5 → 4",
        ),
        (
            lambda workdir: add_line(workdir / "encoders/demo/open_clip_config.json"),
            ["record_activations"],
            "open_clip_config.json changed",
        ),
        (
            exchange_two_charts,
            ["write_map_page"],
            "input.layer_chart: layer_chart.svg → map_chart.svg",
        ),
    ],
    ids=["a definition", "a setting", "a file of the encoder", "parts of inputs"],
)
def test_what_changed_is_named(workdir, edit, stale, why):
    edit(workdir)
    status, said = find_stale(workdir)
    assert status == 1
    found = re.findall(r"^(\w+): \S+(?: and \d+ more)?\n    (.*)$", said, re.M)
    assert found == [(rule, why) for rule in stale]


def test_results_made_of_an_earlier_input_are_stale(workdir):
    """A family that was made again, while the tables above it were not."""
    set_key(workdir, "methods", "kmeans", "n_iters", to=4)
    family = f"{LAYER}/kmeans/ap.csv"
    assert snakemake(workdir, family, *EVERYTHING).returncode == 0
    _, said = find_stale(workdir)
    other = f"{LAYER}/kmeansdistance/checkpoints.json"
    assert f"fit_kmeans: {other}\n    n_iters: 5 → 4\n" in said
    earlier = "fit_kmeans encoder=tiny-vit layer=3 method=kmeans"
    assert f"    it was made from an earlier {earlier}\n" in said
    assert "tabulate_map: results/tiny/map_table.md and 3 more" in said


def test_results_without_a_note_are_named_and_made_again_if_needed(workdir):
    shutil.rmtree(workdir / LAYER / "pca/.origins")
    status, said = find_stale(workdir)
    assert status == 1
    assert said.startswith("0 of ")
    jobs = "fit_pca 1, permute_labels 1, select_prototypes 1"
    assert f"4 results have no valid origin note:\n    {jobs}: it has" in said
    assert called_due(said) == {"tabulate_cost": 1}
    # Pages of traits are due now, and read the checkpoints, which have no note.
    set_key(workdir, "selection", "seeds", to=[0, 2])
    assert called_due(find_stale(workdir)[1])["fit_pca"] == 1
