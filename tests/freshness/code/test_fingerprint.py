"""A stage's fingerprint changes when, and only when, code that it can reach does."""

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from recorded import TOY, write_shards, write_split_list

from vitproto.core.project import PROJECT
from vitproto.data.label_rule import LabelRule
from vitproto.demo.write_birds import DemoBirds
from vitproto.freshness.code.fingerprint import fingerprint, reached
from vitproto.prototypes.fitting import FitJob
from vitproto.prototypes.kmeans import KMeans

STAGES = sorted(file.stem for file in (PROJECT / "scripts").glob("*.py"))
DRAWERS = {
    "draw_demo_birds",
    "draw_demo_corpus",
    "draw_demo_scenes",
    "train_demo_encoder",
}
FITTERS = {"fit_random", "fit_gaussian", "fit_pca"}
READERS = {
    *FITTERS,
    *("fit_kmeans", "fit_sae", "import_sae", "import_directions"),
    *("evaluate_saes", "score_images", "show_features", "pool_activations"),
    "show_traits",
    *("label_patches", "train_probes", "evaluate_probes", "find_class_latents"),
    *("find_class_directions", "suppress_latents", "show_suppression"),
}
SUPPRESSION = {"find_class_latents", "suppress_latents", "show_suppression"}
EARLIER_LAYERS = {"find_class_directions", "suppress_latents", "show_suppression"}


@pytest.fixture
def project(tmp_path):
    """A copy of the project's code, for editing."""
    for part in ("vitproto", "scripts"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    return tmp_path


@cache
def unedited():
    return {stage: fingerprint(stage) for stage in STAGES}


def changed_by(project, edit):
    """The stages whose fingerprints change when a copy is edited."""
    edit()
    return {s for s in STAGES if fingerprint(s, project) != unedited()[s]}


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_copy_elsewhere_has_the_same_fingerprints(project):
    assert changed_by(project, lambda: None) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        (
            "data/cub200_traits.py",
            "PRESENT * present_R",
            "9 * present_R",
            {"read_traits", "check_data"},
        ),
        (
            "traits/average_precision.py",
            "count_T[t] + 1.0",
            "1.0 + count_T[t]",
            {
                *("select_prototypes", "permute_labels", "probe_traits"),
                "train_demo_encoder",
            },
        ),
        ("traits/image_scores.py", "TILE = 1024", "TILE = 512", {"score_images"}),
        (
            "activations/shards.py",
            "rows.stop <=",
            "rows.stop <",
            {"record_activations"},
        ),
        (
            "activations/shards.py",
            "end > n_file_bytes",
            "n_file_bytes < end",
            READERS,
        ),
        ("prototypes/pca.py", "n_patches < 2", "n_patches < 3", {"fit_pca"}),
        (
            "prototypes/gaussian.py",
            "np.float32",
            "np.float64",
            {"fit_gaussian", "fit_sae"},
        ),
        (
            "prototypes/sae/cpu_gradients.py",
            "N_PARTS = 4",
            "N_PARTS = 5",
            {"fit_sae"},
        ),
        (
            "prototypes/autoencoder.py",
            "latents_BS <= self.threshold_S",
            "self.threshold_S >= latents_BS",
            {"evaluate_saes", "export_sae", "fit_sae", "import_sae"}
            | {"score_images", "show_features", "show_traits"}
            | SUPPRESSION,
        ),
        (
            "report/traits/map_chart.py",
            'set_xscale("log")',
            'set_xscale("linear")',
            {"plot_map"},
        ),
        (
            "core/progress.py",
            "n > 1e6",
            "n > 1e3",
            {
                *DRAWERS,
                *("check_images", "check_data"),
                *("record_activations", "fit_kmeans", "fit_pca", "fit_sae"),
                *("evaluate_saes", "score_images", "show_features", "show_traits"),
                *("pool_activations", "permute_labels", "compare_methods"),
                *("label_patches", "train_probes", "evaluate_probes"),
                *("find_class_directions", "find_class_latents"),
                "find_stale",  # no stage: it reads images to name those that changed
                "suppress_latents",
            },
        ),
        ("launch/cli.py", "logging.INFO", "logging.WARNING", set(STAGES)),
        (
            "activations/encoder.py",
            "eval()",
            "train()",
            {"record_activations", *EARLIER_LAYERS},
        ),
        (
            "activations/encoder.py",
            "Side of a patch, in pixels",
            "Edge of a patch, in pixels",
            set(),
        ),
        (
            "activations/encoder.py",
            "n_blocks: Count",
            "n_blocks: float",
            {"record_activations", "write_settings", *EARLIER_LAYERS},
        ),
        (
            "report/map_page.html.jinja",
            "What the methods are",
            "What methods are",
            {"write_map_page"},
        ),
        (
            "pages/page_frame.html.jinja",
            "<main>",
            "<main >",
            {
                "show_features",
                "show_traits",
                "write_map_page",
                "write_suppression_page",
                "new_study",  # no stage: its template is read by the same module
            },
        ),
        ("prototypes/pca.py", "n_patches < 2:", "n_patches < 2 :", set()),
        (
            "prototypes/checkpoint.py",
            "{path} is a safetensors file, but was not written by vitproto",
            "{path}, with {metadata}, was not written by vitproto",
            set(),
        ),
        (
            "activations/shards.py",
            "if n_missing or patches",
            "if n_missing > 0 or patches",
            READERS,
        ),
        ("activations/shards.py", "expected float32 or float16", "expected", set()),
        # What asks for a fingerprint is not what it is a fingerprint of.
        ("freshness/code/code_graph.py", "[:16]", "[:12]", set()),
    ],
)
def test_an_edit_reaches_the_stages_that_it_can_change(project, file, old, new, stale):
    path = project / "vitproto" / file
    assert changed_by(project, lambda: replace(path, old, new)) == stale


def test_unused_functions_comments_and_new_dates_change_nothing(project):
    def edit():
        for file in project.rglob("*.py"):
            text = file.read_text()
            tree = ast.parse(text)
            if ast.get_docstring(tree):
                lines = text.splitlines()[tree.body[0].end_lineno :]
                text = '"""Another docstring."""\n' + "\n".join(lines) + "\n"
            function = "def unused(x: int = NEW) -> int:\n    return x + NEW\n"
            file.write_text(f"{text}\n\n\n# a comment\nNEW = 1\n{function}")

    # A plan takes every function of the modules of costs; it makes no result.
    assert changed_by(project, edit) == {"plan_study"}


def test_the_help_of_settings_reruns_nothing_but_their_bounds_do(project):
    settings = project / "vitproto/prototypes/sae/settings.py"
    text = settings.read_text()
    field, _, rest = text.partition("    n_until_dead: Count\n")
    help_text = re.match(r' *""".*?"""\n', rest, re.DOTALL)[0]

    def edit_help():
        other = rest.replace(help_text, '    """Another help."""\n')
        settings.write_text(f"{field}    n_until_dead: Count\n{other}")

    def edit_bounds():
        settings.write_text(f"{field}    n_until_dead: Index\n{rest}")

    assert changed_by(project, edit_help) == set()
    assert "fit_sae" in changed_by(project, edit_bounds)


def test_the_words_of_errors_decide_nothing_but_where_others_raise_them():
    """Words do not count in fingerprints, so code must not depend on ours."""
    found = set()
    for file in (*PROJECT.glob("vitproto/**/*.py"), *PROJECT.glob("scripts/*.py")):
        for handler in ast.walk(ast.parse(file.read_text())):
            if isinstance(handler, ast.ExceptHandler) and handler.name:
                code = ast.unparse(handler)
                if re.search(rf"\b(str|repr)\({handler.name}\)|\.args\b", code):
                    found.add(file.name)
    # Words of torchvision, NumPy and Slurm.
    others = {"torchvision_shim.py", "directions_file.py"}
    others |= {"cluster.py", "commands.py"}
    # These collect and print what is wrong, and write no result then.
    others |= {"files.py", "data_set.py", "check_data.py", "cli.py"}
    assert found == others


def test_a_data_file_that_a_stage_reads_counts(project):
    attributes = project / "vitproto/demo/birds/cub_attributes.txt"
    changed = changed_by(project, lambda: replace(attributes, "1 ", "01 "))
    assert changed == {"draw_demo_birds", "train_demo_encoder"}


@pytest.mark.parametrize(
    "place",
    ["levels.py", "helpers/levels.py", "scripts/helpers/__init__.py"],
    ids=["beside the package", "in a folder of its own", "a package of stages"],
)
def test_code_counts_wherever_it_lies(project, place):
    module = place.removeprefix("scripts/").removesuffix("/__init__.py")
    module = module.removesuffix(".py").replace("/", ".")
    file = project / place
    file.parent.mkdir(exist_ok=True)
    file.write_text("PRESENT = 8\n")
    loader = project / "vitproto/data/label_rule.py"
    replace(loader, "PRESENT = 8", f"from {module} import PRESENT")
    before = fingerprint("read_traits", project)
    file.write_text("PRESENT = 4\n")
    assert fingerprint("read_traits", project) != before


@pytest.mark.parametrize("name", ["levels.json", "_levels.json", ".levels.json"])
def test_a_data_file_counts_whatever_it_is_called(project, name):
    file = project / "vitproto/data" / name
    file.write_text("3")
    loader = project / "vitproto/data/label_rule.py"
    reads = f'PRESENT = int(Path(__file__).with_name("{name}").read_text())'
    replace(loader, "PRESENT = 8", reads)
    before = fingerprint("read_traits", project)
    file.write_text("4")
    assert fingerprint("read_traits", project) != before


def stage_function(name):
    return runpy.run_path(str(PROJECT / "scripts" / f"{name}.py"))[name]


def definitions_called(call):
    """The definitions of this project that a call runs, on all its threads."""
    codes = set()

    def note(frame, event, argument):
        codes.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    found = set()
    for code in codes:
        file, name = Path(code.co_filename), code.co_qualname.split(".")[0]
        # The fingerprint is the one thing that its own code does not count for.
        is_code = file.parent == PROJECT / "vitproto/freshness/code"
        if file.is_relative_to(PROJECT) and not is_code:
            place = file.relative_to(PROJECT).as_posix()
            if place.startswith(("vitproto/", "scripts/")) and name != "<module>":
                found.add(f"{place}: {name}")
    return found


def test_whatever_a_stage_calls_is_in_its_fingerprint(tmp_path):
    birds, rng = tmp_path / "birds", np.random.default_rng(0)
    images, splits = tmp_path / "images.csv", tmp_path / "birds.csv"
    x_NPD = rng.standard_normal((20, 3, 8), dtype=np.float32)
    shards = write_shards(tmp_path, x_NPD, n_shards=2)
    manifests = {name: tmp_path / name / "checkpoints.json" for name in FITTERS}
    listed = write_split_list(tmp_path, ["train", "test"] * 10)
    fits = {}
    runs = ("k4-seed0",)
    for name in FITTERS:
        files = (shards, listed, tmp_path / name, manifests[name])
        fits[name] = ((FitJob(*files, runs, TOY),), {})
    of_family = {"runs": runs, "family": TOY}
    drawn = (shards, tmp_path / "fit_gaussian", manifests["fit_gaussian"])
    fits["fit_gaussian"] = (drawn, of_family)
    kmeans = {**of_family, "score": "distance", "cfg": KMeans(n_sample=30, n_iters=2)}
    store, manifest = tmp_path / "k", tmp_path / "k/checkpoints.json"
    calls = {
        "draw_demo_birds": ((birds,), {"cfg": DemoBirds(2, 4, 64, 0), "n_workers": 1}),
        "list_cub200": ((birds, images, splits), {"dataset": "birds"}),
        "read_traits": (
            (birds, splits, tmp_path / "t.npz"),
            {"dataset": "birds", "n_train": ("all",), "rule": LabelRule((3, 4), ())},
        ),
        **fits,
        "fit_kmeans": (
            (shards, listed, tmp_path / "c", store, manifest),
            kmeans,
        ),
        "score_images": (
            (shards, manifest, tmp_path / "s.h5"),
            {**of_family, "dataset": "d", "device": "cpu"},
        ),
    }
    for name, (arguments, settings) in calls.items():
        stage = stage_function(name)
        called = definitions_called(lambda: stage(*arguments, **settings))  # noqa: B023
        assert f"scripts/{name}.py: {name}" in called
        assert len(called) >= 3
        assert called <= reached(name).keys(), name


def test_a_fingerprint_is_the_same_in_every_process(project):
    """Python orders sets of texts anew in each process."""
    reader = project / "vitproto/data/label_rule.py"
    for name in ("a.txt", "b.txt", "c.txt"):
        reader.with_name(name).write_text(name)
    both = 'PRESENT = len("a.txt" + "b.txt" + "c.txt")'
    replace(reader, "PRESENT = 8", both)
    code = (
        "import sys; from pathlib import Path;"
        "from vitproto.freshness.code.fingerprint import fingerprint;"
        "print(fingerprint('read_traits', Path(sys.argv[1])))"
    )
    given = {
        subprocess.run(
            [sys.executable, "-c", code, str(project)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for seed in "123456"
    }
    assert len(given) == 1
