"""Two settings of autoencoders worked out by hand, and damaged files refused."""

import re
import runpy

import numpy as np
import pandas as pd
import pytest

from vitproto.core.project import PROJECT
from vitproto.report.saes.markdown import (
    write_convergence_note,
    write_dead_note,
    write_sae_table,
)
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.saes.table import tabulate_settings

HEADER = (
    "encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_patches,mse,nmse,"
    "explained_variance,l0,l1,n_dead,n_almost_dead,n_dense,mean_absolute_correlation,"
    "coherence,n_trained_patches,nmse_slope\n"
)
TOPK = [
    "tiny,3,topk,20,0.001,4.0,0,40,0.25,0.5,0.45,4.0,9.5,2,0,18,0.125,0.5,3000,-0.03\n",
    "tiny,3,topk,20,0.001,4.0,1,40,0.75,0.3,0.55,4.0,10.5,12,0,8,,0.7,3000,-0.006\n",
]
RUNS = (
    "tiny/layer3/topk:k20-lr0.001-sparsity4-seed0,k20-lr0.001-sparsity4-seed1",
    "tiny/layer3/untrained:k8-sparsity4-seed0",
)
UNTRAINED = [
    "tiny,3,untrained,8,,4.0,0,40,1234.6,1.5,-2.25,3.5,0.01234,0,0,8,0.5,,0,\n"
]


def write(path, *groups):
    path.write_text(HEADER + "".join(line for lines in groups for line in lines))
    return path


def test_two_settings_and_two_seeds_worked_out_by_hand(tmp_path):
    table = tabulate_settings(
        read_metrics([write(tmp_path / "a.csv", UNTRAINED, TOPK)])
    )
    topk, untrained = (row for _, row in table.iterrows())
    assert (topk["n_seeds"], topk["n_patches"]) == (2, 40)
    assert topk["mse"] == pytest.approx(0.5)
    assert topk["mse_sd"] == pytest.approx(0.5 / 2**0.5)
    assert (topk["n_dead"], topk["n_dead_sd"]) == (7, pytest.approx(10 / 2**0.5))
    # The second seed had no pair of latents that vary.
    assert topk["mean_absolute_correlation"] == 0.125
    assert np.isnan(topk["mean_absolute_correlation_sd"])
    assert untrained["n_seeds"] == 1
    assert np.isnan(untrained["learning_rate"])
    assert np.isnan(untrained["nmse_sd"])
    assert np.isnan(untrained["coherence"])


def read_cells(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def test_the_markdown_table_shows_shares_and_digits_that_matter(tmp_path):
    metrics = read_metrics([write(tmp_path / "a.csv", TOPK, UNTRAINED)])
    text = write_sae_table(tabulate_settings(metrics), metrics, n_correlated=16)
    assert read_cells(text) == [
        {
            "Method": "topk",
            "Encoder": "tiny",
            "Layer": "3",
            "Latents": "20",
            "Rate": "0.001",
            "Sparsity": "4",
            "Seeds": "2",
            "MSE": "0.500 ± 0.354",
            "NMSE": "0.400 ± 0.141",
            "Last quarter": "−1.8 ± 1.7 %, 1 still improving",
            "Explained": "0.500 ± 0.071",
            "L0": "4.0 ± 0.0",
            "L1": "10.0 ± 0.7",
            "Dead %": "35.0 ± 35.4",
            "Almost dead %": "–",
            "Dense %": "65.0 ± 35.4",
            "Correlation": "0.125",
            "Coherence": "0.600 ± 0.141",
            "Trained on": "3,000",
        },
        {
            "Method": "untrained [control]",
            "Encoder": "tiny",
            "Layer": "3",
            "Latents": "8",
            "Rate": "",
            "Sparsity": "4",
            "Seeds": "1",
            "MSE": "1235",
            "NMSE": "1.50",
            "Last quarter": "–",
            "Explained": "-2.250",
            "L0": "3.5",
            "L1": "0.0123",
            "Dead %": "0.0",
            "Almost dead %": "–",
            "Dense %": "100.0",
            "Correlation": "0.500",
            "Coherence": "–",
            "Trained on": "0",
        },
    ]
    assert (
        "Of 2 settings, topk in layer 3 of tiny, 20 latents, learning rate 0.001, "
        "sparsity 4, has the lowest reconstruction error: NMSE 0.400 with 4.0 latents"
    ) in text
    assert "In 1 of 3 autoencoders, more than half of the latents are dead" in text
    assert (
        "In 1 of 2 trained autoencoders, the held-out NMSE still fell by at least 1% "
        "over the last quarter of the training: they may improve with more patches"
    ) in text
    assert "mean over 40 patches of images that no autoencoder was trained on" in text
    assert "of 16 latents drawn at random" in text
    assert "– if there are at most 10,000,000 patches" in text


def test_almost_dead_latents_are_told_where_there_are_patches_enough(tmp_path):
    enough = [TOPK[0].replace(",40,", ",20000001,").replace("2,0,18", "2,1,17")]
    metrics = read_metrics([write(tmp_path / "a.csv", enough)])
    text = write_sae_table(tabulate_settings(metrics), metrics, n_correlated=16)
    assert read_cells(text)[0]["Almost dead %"] == "5.0"
    assert "if there are at most" not in text
    assert "At most half of its latents are dead" in text


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        ([np.nan, np.nan], ""),
        ([0.02, -0.0099], "In none of 2 trained autoencoders did the held-out NMSE"),
        ([-0.01, -0.0099], "In 1 of 2 trained autoencoders, the held-out NMSE still"),
        ([np.nan, -0.3], "In 1 of 1 trained autoencoders, the held-out NMSE still"),
    ],
)
def test_autoencoders_that_still_improve_are_counted_among_the_trained(
    slopes, expected
):
    note = write_convergence_note(pd.DataFrame({"nmse_slope": slopes}))
    assert note.startswith(expected)
    assert bool(note) == bool(expected)
    assert ("may improve with more patches" in note) == any(s <= -0.01 for s in slopes)


@pytest.mark.parametrize(
    ("n_dead", "expected"),
    [
        ([10, 10], "In none of 2 autoencoders are more than half of the latents dead"),
        ([11, 10], "In 1 of 2 autoencoders, more than half of the latents are dead"),
        ([11], "More than half of its latents are dead"),
    ],
)
def test_exactly_half_dead_is_not_more_than_half(n_dead, expected):
    metrics = pd.DataFrame({"n_dead": n_dead, "n_prototypes": 20})
    assert write_dead_note(metrics) == f"{expected} on held-out patches."


def test_the_stage_writes_the_same_bytes_whatever_the_order_of_its_files(tmp_path):
    stage = runpy.run_path(str(PROJECT / "scripts/tabulate_saes.py"))["tabulate_saes"]
    files = write(tmp_path / "a.csv", TOPK), write(tmp_path / "b.csv", UNTRAINED)
    written = set()
    for i, order in enumerate((files, files[::-1])):
        table, csv = tmp_path / f"{i}.md", tmp_path / f"{i}.out"
        stage(order, 16, table, csv, sae_families=RUNS)
        written.add((table.read_bytes(), csv.read_bytes()))
    ((_, csv),) = written
    lines = csv.decode().splitlines()
    assert lines[0].startswith(
        "encoder,layer,method,n_prototypes,learning_rate,sparsity,n_seeds,n_patches,"
        "n_trained_patches,n_improving,mse,mse_sd,nmse,nmse_sd,"
    )
    assert lines[1].startswith(
        "tiny,3,topk,20,0.001,4,2,40,3000,1,0.5,0.353553,0.4,0.141421,"
    )
    assert lines[2].startswith("tiny,3,untrained,8,,4,1,40,0,0,1234.6,,1.5,,")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "mse,nmse",
            "mse,error",
            "a.csv lacks the columns nmse: it has encoder, layer,",
        ),
        ("tiny,3,", "tiny,three,", "a.csv: "),
        ("0.25,0.5", "0.25,-0.5", "a.csv, line 2: an error or a number of latents is"),
        ("12,0,8", "12,0,9", "a.csv, line 3: more latents are dead, almost dead or"),
        ("3000,", "-1,", "a.csv, line 2: it was trained on a negative number of"),
        (",40,", ",0,", "a.csv, line 2: no patches were held out"),
        (
            "topk,20,0.001,4.0,1",
            "topk,20,0.001,4.0,0",
            "1 rows of the files of metrics repeat others, the first: encoder tiny",
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path, old, new, expected):
    path = write(tmp_path / "a.csv", TOPK)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_metrics([path])


def test_no_file_at_all_is_refused():
    with pytest.raises(ValueError, match="no files of metrics were named"):
        read_metrics([])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((TOPK[:1], UNTRAINED), "lacks tiny/layer3/topk k20-lr0.001-sparsity4-seed1:"),
        ((TOPK,), "of autoencoders lacks tiny/layer3/untrained k8-sparsity4-seed0"),
        (
            (TOPK, [UNTRAINED[0].replace("8,,", "9,,")]),
            "k8-sparsity4-seed0, and holds tiny/layer3/untrained k9-sparsity4-seed0",
        ),
    ],
)
def test_the_autoencoders_of_the_run_table_must_be_there(tmp_path, groups, message):
    stage = runpy.run_path(str(PROJECT / "scripts/tabulate_saes.py"))["tabulate_saes"]
    path = write(tmp_path / "a.csv", *groups)
    with pytest.raises(ValueError, match=re.escape(message)):
        stage((path,), 16, tmp_path / "t.md", tmp_path / "t.csv", sae_families=RUNS)
    assert not (tmp_path / "t.md").exists()
