"""A change runs again what it makes stale, and nothing else."""

import json
import shutil
from pathlib import Path

import h5py
import pytest
import yaml
from study_copy import rules_to_run

from vitproto.study.fingerprint import fingerprint

REPORT = [
    *("compare_layers", "compare_encoders", "compare_groups"),
    *("plot_map", "tabulate_map", "write_map_page"),
]
N_FAMILIES = 6
SELECTION = ["select_prototypes"] * N_FAMILIES + REPORT
SCORING = ["score_images"] * N_FAMILIES + SELECTION
FITS = ["fit_random", "fit_random", "fit_kmeans", "fit_kmeans", "fit_pca"]


def replace(file: str, old: str, new: str):
    def edit(workdir: Path) -> None:
        path = workdir / file
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))

    return edit


def add_unused_code(workdir: Path) -> None:
    for part in ("vitproto", "scripts"):
        for file in (workdir / part).rglob("*.py"):
            code = "\n\nNEW = 1\n\n\ndef unused(x=NEW):\n    return x + NEW\n"
            file.write_text(file.read_text() + code)


def set_key(*path: str, to: object):
    def edit(workdir: Path) -> None:
        study = yaml.safe_load((workdir / "tiny.yaml").read_text())
        section = study
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = to
        (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))

    return edit


def touch_everything(workdir: Path) -> None:
    for part in ("vitproto", "scripts", "workflow", "config", "encoders"):
        for file in (workdir / part).rglob("*"):
            file.touch()


def run_otherwise(workdir: Path) -> None:
    """Change how jobs run, and the order of all keys."""
    set_key("how", to={"device": "auto", "batch_size": 64})(workdir)


@pytest.mark.parametrize(
    ("edit", "stale"),
    [
        (
            replace("vitproto/data/cub200_traits.py", "PROBABLY = 3", "PROBABLY = 2"),
            ["read_traits", *SELECTION],
        ),
        (
            replace(
                "vitproto/traits/average_precision.py",
                "count = count_T[t] + 1.0",
                "count = 1.0 + count_T[t]",
            ),
            SELECTION,
        ),
        (
            replace("vitproto/traits/image_scores.py", "TILE = 1024", "TILE = 512"),
            SCORING,
        ),
        (
            replace(
                "vitproto/report/map_chart.py",
                'axis.set_xscale("log")',
                'axis.set_xscale("linear")',
            ),
            ["plot_map", "write_map_page"],
        ),
        (
            replace("vitproto/report/layer_chart.py", "n_counts <= 4", "n_counts <= 5"),
            ["compare_layers", "write_map_page"],
        ),
        (
            replace("vitproto/report/map_page.html.jinja", "<body>", "<body><p>"),
            ["write_map_page"],
        ),
        (
            replace("vitproto/prototypes/gaussian.py", "np.float32", "np.float64"),
            ["fit_gaussian", "score_images", "select_prototypes", *REPORT],
        ),
        (
            replace("vitproto/activations/shards.py", "rows.stop <=", "rows.stop <"),
            ["record_activations"] * 3
            + ["fit_gaussian", "fit_randomtrain", *FITS, *SCORING, "show_features"],
        ),
        (
            replace(
                "vitproto/activations/shards.py",
                "if end > n_file_bytes",
                "if n_file_bytes < end",
            ),
            ["fit_gaussian", *FITS, *SCORING],
        ),
        (
            replace("vitproto/prototypes/pca.py", "n_patches < 2", "n_patches < 3"),
            ["fit_pca", "score_images", "select_prototypes", *REPORT],
        ),
        (
            replace(
                "vitproto/data/demo/bird_painting.py",
                "SUPERSAMPLING = 3",
                "SUPERSAMPLING = 2",
            ),
            [
                *("draw_demo_birds", "list_cub200", "read_traits"),
                *("draw_demo_corpus", "list_image_folder"),
                *["record_activations"] * 3,
                *("fit_gaussian", *FITS, *SCORING),
            ],
        ),
        (
            set_key("methods", "kmeans", "n_iters", to=4),
            [
                *["fit_kmeans", "score_images", "select_prototypes"] * 2,
                *[*REPORT, "show_features"],
            ],
        ),
        (
            replace(
                "vitproto/traits/average_precision.py",
                "# no tie: count and sum in one pass",
                "# a comment",
            ),
            [],
        ),
        (
            replace(
                "vitproto/traits/image_scores.py",
                '"""How strongly is each prototype present in each image?',
                '"""Another docstring.',
            ),
            [],
        ),
        (add_unused_code, []),
        (
            replace("vitproto/features/top_images.py", "PER_CORE = 4", "PER_CORE = 5"),
            ["show_features", "write_map_page"],
        ),
        (
            replace("vitproto/features/features_page.html.jinja", "<body>", "<body> "),
            ["show_features", "write_map_page"],
        ),
        (
            set_key("features", "n_images", to=2),
            ["show_features", "write_map_page"],
        ),
        (touch_everything, []),
        (run_otherwise, []),
        (set_key("selection", "seeds", to=[0, 5]), SELECTION),
        (set_key("selection", "n_train", to=[16, "all"]), SELECTION),
    ],
    ids=[
        "trait loader",
        "AP kernel",
        "image scores",
        "chart",
        "chart of layers",
        "page template",
        "gaussian",
        "shard writer",
        "shard reader",
        "pca",
        "drawing",
        "rounds of k-means",
        "top images",
        "template of features",
        "number of images shown",
        "comment",
        "docstring",
        "unused code",
        "touch",
        "batch size and device",
        "selection seeds",
        "n_train",
    ],
)
def test_a_change_reruns_what_it_makes_stale(workdir, edit, stale):
    edit(workdir)
    assert rules_to_run(workdir) == sorted(stale)


def test_another_width_of_drawing_reruns_everything_about_that_dataset(workdir):
    set_key("datasets", "tiny_corpus", "draw", "n_species", to=4)(workdir)
    stale = [
        "draw_demo_corpus",
        "list_image_folder",
        "record_activations",
        *FITS,
    ]
    families = ["score_images", "select_prototypes"] * len(FITS)
    above = [*families, *REPORT, "show_features"]
    assert rules_to_run(workdir) == sorted([*stale, *above])


def test_results_carry_the_fingerprint_that_snakemake_compares(finished):
    written = set()
    for file in finished.glob("results/tiny/**/scores.h5"):
        with h5py.File(file) as scores:
            written.add(scores.attrs["code"])
    files = [file for file in finished.rglob(".snakemake/metadata/*") if file.is_file()]
    records = [json.loads(file.read_text()) for file in files]
    compared = {
        record["params"][0] for record in records if record["rule"] == "score_images"
    }
    assert written == {fingerprint("score_images", finished)}
    assert compared == {repr(code) for code in written}


def test_a_moved_project_reruns_nothing(workdir, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(workdir, moved)
    assert rules_to_run(moved) == []
