"""A change runs again what it makes stale, and nothing else."""

import shutil
from pathlib import Path

import pytest
import yaml
from study_copy import rules_to_run

REPORT = ["plot_map", "tabulate_map", "write_map_page"]
N_FAMILIES = 5
SELECTION = ["select_prototypes"] * N_FAMILIES + REPORT
SCORING = ["score_images"] * N_FAMILIES + SELECTION
FITS = ["fit_random", "fit_kmeans", "fit_kmeans", "fit_pca"]


def add_code(file: str, code: str = "\nNEW = 1\n"):
    def edit(workdir: Path) -> None:
        path = workdir / file
        path.write_text(path.read_text() + code)

    return edit


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
        (add_code("vitproto/data/cub200_traits.py"), ["read_traits", *SELECTION]),
        (add_code("vitproto/traits/average_precision.py"), SELECTION),
        (add_code("vitproto/traits/image_scores.py"), SCORING),
        (add_code("vitproto/report/map_chart.py"), ["plot_map", "write_map_page"]),
        (add_code("vitproto/report/map_page.html.jinja", "."), ["write_map_page"]),
        (
            add_code("vitproto/prototypes/gaussian.py"),
            ["fit_gaussian", "score_images", "select_prototypes", *REPORT],
        ),
        (
            add_code("vitproto/activations/recording.py"),
            ["record_activations"] * 3
            + ["fit_gaussian", *FITS, *SCORING, "show_features"],
        ),
        (
            add_code("vitproto/prototypes/pca.py"),
            ["fit_pca", "score_images", "select_prototypes", *REPORT],
        ),
        (
            set_key("methods", "kmeans", "n_iters", to=4),
            [
                *["fit_kmeans", "score_images", "select_prototypes"] * 2,
                *[*REPORT, "show_features"],
            ],
        ),
        (add_code("vitproto/features/top_images.py"), ["show_features"]),
        (add_code("vitproto/features/features_page.html.jinja"), ["show_features"]),
        (set_key("features", "n_images", to=2), ["show_features"]),
        (add_code("vitproto/traits/average_precision.py", "\n# a comment\n"), []),
        (add_code("vitproto/traits/image_scores.py", '\n"""Another text."""\n'), []),
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
        "page template",
        "gaussian",
        "recording",
        "pca",
        "rounds of k-means",
        "top images",
        "template of features",
        "number of images shown",
        "comment",
        "docstring",
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


def test_a_moved_project_reruns_nothing(workdir, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(workdir, moved)
    assert rules_to_run(moved) == []
