"""A change runs again what it makes stale, and nothing else."""

import json
import shutil
from pathlib import Path

import h5py
import pytest
import yaml
from study_copy import rules_to_run

from vitproto.freshness.code.fingerprint import fingerprint

REPORT = [
    *("compare_layers", "compare_encoders", "compare_groups"),
    *("plot_map", "tabulate_map", "show_traits", "write_map_page"),
]
SAE_REPORT = [
    *("plot_sae_training", "plot_sae_front", "plot_sae_frequencies"),
    "tabulate_saes",
]
N_FAMILIES, N_LAYERS = 8, 2
# What is made of scores, and of labels.
SELECTION = [
    *["select_prototypes", "permute_labels"] * N_FAMILIES,
    *(*["compare_methods"] * N_LAYERS, *REPORT),
    "show_features",  # names the traits that prototypes are chosen for
]
PROBES = ["probe_traits"] * N_LAYERS
LABELLED = [*SELECTION, *PROBES]
POOLING = [*["pool_activations"] * N_LAYERS, *PROBES]
SCORING = ["score_images"] * N_FAMILIES + SELECTION
MADE_OF_A_FIT = ["score_images", "select_prototypes", "permute_labels"]
# What is fitted to tiny_corpus, and what is made of every fit.
FITS = ["fit_random", "fit_random", "fit_kmeans", "fit_kmeans", "fit_pca", "fit_sae"]
MEASURING = [*SCORING, "evaluate_saes", *SAE_REPORT]
ALL_FITS = ["fit_gaussian", "fit_random", *FITS]


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
    how = {"device": "auto", "batch_size": 64, "save_every_s": 5, "tensorboard": False}
    how["most_pixels"] = 999_999
    set_key("how", to=how)(workdir)


def remade(*fits: str) -> list[str]:
    """What becomes of other prototypes in one layer, one family a fit."""
    return [*fits, *MADE_OF_A_FIT * len(fits), "compare_methods", *REPORT]


# What is edited; the rules that must run again.
EDITS = {
    "trait loader": (
        replace("vitproto/data/label_rule.py", "PRESENT = 8", "PRESENT = 16"),
        ["read_traits", *LABELLED],
    ),
    "reader of splits": (
        replace("vitproto/data/image_list.py", "split not in SPLITS", "split == 'val'"),
        [
            *("read_traits", "fit_random", *FITS),
            *["score_images"] * (N_FAMILIES - 1),  # all but those of fit_gaussian
            *(*LABELLED, "evaluate_saes", *SAE_REPORT),
        ],
    ),
    "AP kernel": (
        replace(
            "vitproto/traits/average_precision.py",
            "count = count_T[t] + 1.0",
            "count = 1.0 + count_T[t]",
        ),
        LABELLED,
    ),
    "resampled AP": (
        replace(
            "vitproto/traits/resampled_ap.py",
            "max(taken_R[r], np.int32(1))",
            "max(np.int32(1), taken_R[r])",
        ),
        [*["compare_methods"] * N_LAYERS, *REPORT],
    ),
    "rankings of permutations": (
        replace(
            "vitproto/traits/rankings.py",
            "n_found += n_tied",
            "n_found = n_tied + n_found",
        ),
        [*["permute_labels"] * N_FAMILIES, *REPORT],
    ),
    "image scores": (
        replace("vitproto/traits/image_scores.py", "TILE = 1024", "TILE = 512"),
        SCORING,
    ),
    "SAE objective": (
        replace(
            "vitproto/prototypes/sae/cpu_gradients.py",
            "scale=2 / (n_prefixes * len(z_BD))",
            "scale=1 / (n_prefixes * len(z_BD))",
        ),
        [*remade("fit_sae"), "evaluate_saes", *SAE_REPORT],
    ),
    "SAE evaluation": (
        replace("vitproto/prototypes/sae/frequency.py", "DENSE = 1e-2", "DENSE = 2e-2"),
        [
            *("evaluate_saes", "plot_sae_frequencies", "plot_sae_front"),
            *("tabulate_saes", "write_map_page"),
        ],
    ),
    "chart": (
        replace("vitproto/report/traits/map_chart.py", '"log"', '"linear"'),
        ["plot_map", "write_map_page"],
    ),
    "chart of layers": (
        replace(
            "vitproto/report/traits/layer_chart.py", "n_counts <= 4", "n_counts <= 5"
        ),
        ["compare_layers", "write_map_page"],
    ),
    "page template": (
        replace(
            "vitproto/report/map_page.html.jinja",
            "What the methods are",
            "What methods are",
        ),
        ["write_map_page"],
    ),
    "gaussian": (
        replace("vitproto/prototypes/gaussian.py", "np.float32", "np.float64"),
        # Autoencoders start from these directions too.
        [*remade("fit_gaussian", "fit_sae"), "evaluate_saes", *SAE_REPORT],
    ),
    "shard writer": (
        replace("vitproto/activations/shards.py", "rows.stop <=", "rows.stop <"),
        ["record_activations"] * 3 + ALL_FITS + MEASURING + POOLING,
    ),
    "shard reader": (
        replace(
            "vitproto/activations/shards.py",
            "if end > n_file_bytes",
            "if n_file_bytes < end",
        ),
        ALL_FITS + MEASURING + POOLING,
    ),
    "pca": (
        replace("vitproto/prototypes/pca.py", "n_patches < 2", "n_patches < 3"),
        remade("fit_pca"),
    ),
    "drawing": (
        replace(
            "vitproto/demo/birds/painting.py",
            "SUPERSAMPLING = 3",
            "SUPERSAMPLING = 2",
        ),
        [
            *("draw_demo_birds", "list_cub200", "read_traits"),
            *("draw_demo_corpus", "list_image_folder"),
            *["check_images"] * 2,
            *["record_activations"] * 3,
            *(*ALL_FITS, *MEASURING, *POOLING),
        ],
    ),
    "top images": (
        replace("vitproto/features/top_images.py", "PER_CORE = 4", "PER_CORE = 5"),
        ["show_features", "write_map_page"],
    ),
    "template of features": (
        replace("vitproto/features/features_page.html.jinja", "<nav ", "<nav  "),
        ["show_features", "write_map_page"],
    ),
    "page of a trait": (
        replace("vitproto/pictures/overlay.py", "SIDE = 160", "SIDE = 150"),
        ["show_features", "show_traits", "write_map_page"],
    ),
    "comment": (
        replace(
            "vitproto/traits/average_precision.py",
            "# no tie: count and sum in one pass",
            "# a comment",
        ),
        [],
    ),
    "docstring": (
        replace(
            "vitproto/traits/image_scores.py",
            '"""How strongly each prototype is present in each image.',
            '"""Another docstring.',
        ),
        [],
    ),
    "unused code": (add_unused_code, []),
    "touch": (touch_everything, []),
    "how jobs run": (run_otherwise, []),
    "rounds of k-means": (
        set_key("methods", "kmeans", "n_iters", to=4),
        [*remade("fit_kmeans", "fit_kmeans"), "show_features"],
    ),
    "weight of AuxK": (
        set_key("methods", "saes", "topk", "aux_weight", to=0.5),
        [*remade("fit_sae"), "evaluate_saes", *SAE_REPORT],
    ),
    "number of images shown": (
        set_key("features", "n_images", to=2),
        ["show_features", "show_traits", "write_map_page"],
    ),
    "selection seeds": (set_key("selection", "seeds", to=[0, 5]), LABELLED),
    "n_train": (
        set_key("selection", "n_train", to=[16, "all"]),
        ["read_traits", *LABELLED],  # checks it against the split
    ),
    "label rule": (
        set_key("selection", "labels", "present", to=[2, 3, 4]),
        ["read_traits", *LABELLED],
    ),
    # New statistics need no scores, and no GPU.
    "number of permutations": (
        set_key("selection", "n_permutations", to=30),
        [*["permute_labels"] * N_FAMILIES, *REPORT],
    ),
    "number of resamples": (
        set_key("selection", "n_resamples", to=200),
        [*["compare_methods"] * N_LAYERS, *REPORT],
    ),
    "grid of probes": (
        set_key("selection", "probes", "regularisations", to=[1, 10]),
        [*PROBES, *["compare_methods"] * N_LAYERS, *REPORT],
    ),
}


@pytest.mark.parametrize(("edit", "stale"), EDITS.values(), ids=EDITS.keys())
def test_a_change_reruns_what_it_makes_stale(workdir, edit, stale):
    edit(workdir)
    assert rules_to_run(workdir) == sorted(stale)


def test_another_width_of_drawing_reruns_everything_about_that_dataset(workdir):
    set_key("datasets", "tiny_corpus", "draw", "n_species", to=4)(workdir)
    stale = [
        "draw_demo_corpus",
        "list_image_folder",
        "check_images",
        "record_activations",
        *FITS,
    ]
    families = [*MADE_OF_A_FIT * len(FITS), *["compare_methods"] * N_LAYERS]
    above = [*families, *REPORT, "evaluate_saes", *SAE_REPORT, "show_features"]
    assert rules_to_run(workdir) == sorted([*stale, *above])


def test_results_carry_the_fingerprint_that_their_notes_have(finished):
    files = [*finished.glob("results/scores/tiny/**/scores.h5")]
    assert len(files) == N_FAMILIES
    for file in files:
        with h5py.File(file) as scores:
            written = scores.attrs["code"].decode()
        note = json.loads((file.parent / ".origins/scores.h5.json").read_text())
        assert written == note["fingerprint"] == fingerprint("score_images", finished)


def test_a_moved_project_reruns_nothing(workdir, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(workdir, moved)
    assert rules_to_run(moved) == []
