"""Stages that make lists, tables, charts and pages start fast.

They load no torch, and Matplotlib only once they draw.
"""

import json
import os
import re
import subprocess
import sys

import pytest

from vitproto.core.project import PROJECT

SCRIPTS = PROJECT / "scripts"

# These read activations or prototypes, load an encoder, resample scores, or name the
# settings of all stages.
HEAVY = {
    *("fetch_weights", "export_sae", "train_demo_encoder", "write_settings"),
    "compare_methods",
}

NEVER = {
    *("torch", "torchvision", "open_clip", "timm", "numba", "sklearn", "scipy"),
    "matplotlib",
}

# Imports what a kind of stage needs, then asks each such stage for its --help, in a
# process of its own that has these imports already.
MEASURE = """
import contextlib, importlib, json, os, runpy, sys, time

def measure(script, report):
    sys.argv = [script, "--help"]
    status, begin = None, time.process_time()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            status = end.code
    seconds = time.process_time() - begin
    modules = sorted({name.split(".")[0] for name in sys.modules})
    os.write(report, json.dumps([status, seconds, modules]).encode())

needed, scripts = json.loads(sys.argv[1])
begin = time.process_time()
for name in needed:
    importlib.import_module(name)
measured = {"": [0, time.process_time() - begin, []]}
for script in scripts:
    answer, report = os.pipe()
    if os.fork() == 0:
        try:
            measure(script, report)
        finally:
            os._exit(0)
    os.close(report)
    with open(answer) as file:
        status, seconds, modules = json.loads(file.read())
    measured[script] = [status, seconds, modules]
    os.wait()
print(json.dumps(measured))
"""


def light_stages():
    """Stages whose jobs run where Snakemake was started, and those without a rule."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in (PROJECT / "workflow/rules").glob("*.smk")
    ]
    local, rules = set(), set()
    for text in texts:
        rules |= set(re.findall(r"^rule (\w+):", text, re.MULTILINE))
        for names in re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, re.MULTILINE):
            local |= set(re.findall(r"\w+", names))
    rules |= {path.stem for path in SCRIPTS.glob("fit_*.py")}  # some rules have no name
    without_rule = {path.stem for path in SCRIPTS.glob("*.py")} - rules
    return sorted((local | without_rule) - HEAVY)


def needs_of(stage):
    """The packages that a stage of this kind may load."""
    text = (SCRIPTS / f"{stage}.py").read_text(encoding="utf-8")
    needs = ["tyro"]
    if "dry_run" in text:  # reads digests of images from HDF5 files
        return [*needs, "snakemake.api", "h5py"]
    if stage == "list_runs":  # checks the study
        needs += ["yaml", "jsonschema"]
    elif stage != "show_queue":
        needs.append("pandas")
    if stage.startswith("write_"):
        needs.append("jinja2")
    if "HDF5" in text:
        needs.append("h5py")
    return needs


def measure(needs, stages):
    """Status, CPU seconds and modules by stage; the cost of `needs` by `""`."""
    scripts = [str(SCRIPTS / f"{stage}.py") for stage in stages]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    shown = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps([needs, scripts])],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    measured = json.loads(shown.stdout)
    return {
        name.rpartition("/")[2].removesuffix(".py"): measured[name] for name in measured
    }


def too_slow(measured):
    """Stages that take much longer than the imports that they need."""
    _, cost, _ = measured[""]
    # Our own modules, jaxtyping and the parsing of the command line.
    most = 0.1 + 0.5 * cost
    return [
        stage for stage, (_, seconds, _) in measured.items() if stage and seconds > most
    ]


STAGES = light_stages()
KINDS = sorted({tuple(needs_of(stage)) for stage in STAGES})


def test_light_stages_are_those_that_make_lists_tables_charts_and_pages():
    verbs = ("list_", "tabulate_", "plot_", "compare_", "write_")
    stages = {path.stem for path in SCRIPTS.glob("*.py")}
    named_so = {stage for stage in stages if stage.startswith(verbs)}
    assert named_so - {"write_settings", "compare_methods"} < set(STAGES)


@pytest.mark.parametrize("needs", KINDS, ids="+".join)
def test_help_costs_little_more_than_the_imports_that_a_stage_needs(needs):
    stages = [stage for stage in STAGES if tuple(needs_of(stage)) == needs]
    allowed = {name.split(".")[0] for name in needs}
    loadable = {"h5py", "pandas", "jinja2", "snakemake"}
    # Snakemake loads these itself.
    allowed |= {"pandas", "jinja2"} if "snakemake" in allowed else set()
    measured = measure(needs, stages)
    for stage in stages:
        status, _, modules = measured[stage]
        assert status == 0, stage
        unwanted = set(modules) & (NEVER | (loadable - allowed))
        assert not unwanted, f"{stage} loads {', '.join(sorted(unwanted))}"
    slow = too_slow(measured)
    # Once more: the first time may have compiled our modules.
    assert not slow or not too_slow(measure(needs, slow))
