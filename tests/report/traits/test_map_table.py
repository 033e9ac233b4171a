"""One configuration worked out by hand, then the stages on it."""

import json
import re
import runpy
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from vitproto.core.project import PROJECT
from vitproto.data.image_list import SPLIT_COLUMNS, write_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.shared.runs import runs_of
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap, read_rows
from vitproto.report.traits.chosen_settings import rank_settings
from vitproto.report.traits.map_markdown import write_map_table
from vitproto.report.traits.map_table import tabulate_configurations
from vitproto.report.traits.trait_table import tabulate_traits
from vitproto.study.family import write_families

SCRIPTS = PROJECT / "scripts"
HEADER = (
    "study,dataset,encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_alive,"
    "selection_seed,n_train,trait,prototype,train_ap,test_ap,prevalence\n"
)
PREVALENCE = {
    "wing::blue": 0.5,
    "bill::all-purpose": 0.2,
    "eye::buff": 0.1,
    "leg::x": 0,
}
# AP of wing, bill and eye on the test images, for each (seed, selection seed). None
# means that none of the four training images showed it. No test image shows a leg.
TEST_AP = {
    (0, 0): (0.8, 0.6, None),
    (0, 1): (0.9, 0.6, 0.3),
    (1, 0): (1.0, None, 0.3),
}


# The same, but each by another fit seed: a whole study of one selection seed.
BY_SEED = dict(zip([(0, 0), (1, 0), (2, 0)], TEST_AP.values(), strict=True))


def _lines(test_ap, run="tiny,3,random,2", n_train=4, setting=",", n_alive=(2, 1, 2)):
    lines = []
    for (seed, selection), values in test_ap.items():
        for (trait, prevalence), ap in zip(
            PREVALENCE.items(), [*values, 0.0], strict=True
        ):
            chosen = "," if ap is None else "1,0.75"
            shown = prevalence if ap is None else ap
            tested = shown if prevalence else ""
            lines.append(
                f"small,birds,{run},{setting},{seed},{n_alive[seed]},{selection},{n_train},"
                f"{trait},{chosen},{tested},{prevalence}\n"
            )
    return lines


def _write(path, lines):
    path.write_text(HEADER + "".join(lines))
    return path


def _table(tmp_path, *args, **kwargs):
    path = _write(tmp_path / "ap.csv", _lines(*args, **kwargs))
    return tabulate_configurations(read_rows([path], None))


@pytest.fixture
def splits(tmp_path):
    rows = [(str(i), "train" if i < 6 else "test", "") for i in range(16)]
    path = tmp_path / "splits.csv"
    write_splits(pd.DataFrame(rows, columns=SPLIT_COLUMNS, dtype="str"), path)
    return path


def test_three_traits_and_three_pairs_of_seeds_worked_out_by_hand(tmp_path):
    row = _table(tmp_path, TEST_AP).iloc[0]
    # Unselected traits count with their prevalence, eye 0.1 and bill 0.2:
    # .8 .6 .1 -> mean .5; .9 .6 .3 -> mean .6; 1. .2 .3 -> mean .5.
    assert row["map"] == pytest.approx((0.5 + 0.6 + 0.5) / 3)
    # Of three sorted values the 5th percentile lies a tenth of the way from the
    # first to the second, the 95th nine tenths from the second to the third.
    assert row["p5"] == pytest.approx((0.15 + 0.33 + 0.21) / 3)
    assert row["p95"] == pytest.approx((0.78 + 0.87 + 0.93) / 3)
    assert row["chance"] == pytest.approx((0.5 + 0.2 + 0.1) / 3)
    # Deviations -1/30, 2/30, -1/30; n - 1 = 2.
    assert row["map_sd"] == pytest.approx((6 / 900 / 2) ** 0.5)
    assert row["n_unselected"] == pytest.approx(2 / 3)
    assert (row["n_traits"], row["n_seeds"]) == (3, 3)
    assert row["above_chance"]


def test_one_pair_of_seeds_has_no_spread(tmp_path):
    table = _table(tmp_path, {(0, 0): (0.8, 0.6, 0.1)})
    assert np.isnan(table["map_sd"][0])
    text = write_map_table(table, {"train": 6, "test": 10}, [])
    assert "| 0.500 |" in text


def test_constant_scores_reach_chance_and_are_marked(tmp_path):
    table = _table(tmp_path, {(0, 0): (0.5, 0.2, 0.1)})
    assert table["map"][0] == pytest.approx(table["chance"][0])
    assert not table["above_chance"][0]
    text = write_map_table(table, {"train": 6, "test": 10}, [])
    assert "| 0.267 † |" in text
    assert "No configuration is above chance: the best of 1 reaches mAP 0.267" in text
    assert "1 of 1 rows is at or below chance (marked †)" in text


def test_a_rounding_error_above_chance_is_not_above_chance(tmp_path):
    # Three times 0.1 is more than 0.3 in binary.
    table = _table(tmp_path, {(0, 0): (0.5 + 1e-12, 0.2, 0.1)})
    assert not table["above_chance"][0]


def test_rows_are_sorted_by_number_not_by_text(tmp_path):
    lines = []
    for encoder, layer in [("b", 3), ("a", 12), ("a", 3)]:
        for method, k in [("random", 512), ("random", 64), ("gaussian", 64)]:
            for n_train in (4, 16):
                run = f"{encoder},{layer},{method},{k}"
                lines += _lines({(0, 0): (0.8, 0.6, 0.1)}, run, n_train)
    lines.reverse()
    table = tabulate_configurations(
        read_rows([_write(tmp_path / "ap.csv", lines)], None)
    )
    columns = ["encoder", "layer", "method", "n_prototypes", "n_train"]
    rows = list(table[columns].itertuples(index=False, name=None))
    assert rows == sorted(rows)
    assert rows[:3] == [
        ("a", 3, "gaussian", 64, 4),
        ("a", 3, "gaussian", 64, 16),
        ("a", 3, "random", 64, 4),
    ]


def test_the_markdown_table_is_aligned_and_says_what_it_means(tmp_path):
    text = write_map_table(_table(tmp_path, TEST_AP), {"train": 6, "test": 10}, [])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == [
        "Method",
        "Encoder",
        "Layer",
        "Prototypes",
        "Alive",
        "Train",
        "mAP",
        "5%",
        "95%",
        "Chance",
        "Traits",
        "Seeds",
        "Unselected",
    ]
    assert [cell.strip() for cell in rows[2].strip("|").split("|")] == [
        *("random", "tiny", "3", "2", "1.5", "4", "0.533 ± 0.058", "0.230", "0.860"),
        *("0.267", "3", "3", "0.7"),
    ]
    assert "reaches mAP 0.533, where chance is 0.267: 2 random prototypes in" in text
    assert "All 1 rows are above chance." in text
    assert "of 6 in the training split" in text
    assert "on all 10 test images" in text


def test_traits_are_listed_best_first_with_what_could_not_be_selected(tmp_path):
    ap = read_rows([_write(tmp_path / "ap.csv", _lines(TEST_AP))], None)
    traits = tabulate_traits(ap, tabulate_configurations(ap).iloc[0])
    assert traits["trait"].tolist() == ["wing::blue", "bill::all-purpose", "eye::buff"]
    np.testing.assert_allclose(traits["test_ap"], [0.9, 1.4 / 3, 0.7 / 3])
    np.testing.assert_allclose(traits["chance"], [0.5, 0.2, 0.1])
    assert traits["n_unselected"].tolist() == [0, 1, 1]
    assert traits["n_seeds"].tolist() == [3, 3, 3]


# Two settings of an SAE, and beside them what one has that was not trained. AP on the
# training images is 0.75 in all rows until it is replaced.
def _settings_lines():
    def with_train_ap(ap, lines):
        return [line.replace(",0.75,", f",{ap},") for line in lines]

    best_on_test = _lines({(0, 0): (0.9, 0.9, 0.9)}, "tiny,3,topk,2", 4, "0.001,32")
    best_on_train = _lines({(0, 0): (0.8, 0.7, None)}, "tiny,3,topk,2", 4, "3e-07,8")
    return [
        *with_train_ap(0.7, best_on_test),
        *with_train_ap(0.8, best_on_train),
        *_lines({(0, 0): (0.8, 0.6, 0.1)}),
    ]


def test_the_setting_that_does_best_on_training_images_is_chosen(tmp_path):
    table = tabulate_configurations(
        read_rows([_write(tmp_path / "ap.csv", _settings_lines())], None)
    )
    columns = ["method", "learning_rate", "sparsity", "is_chosen", "n_settings"]
    assert table[columns].fillna(-1).values.tolist() == [
        ["random", -1, -1, True, 1],
        ["topk", 3e-7, 8, True, 2],
        ["topk", 0.001, 32, False, 2],
    ]


def test_the_first_of_equally_good_settings_is_chosen_on_the_most_images(tmp_path):
    # On 4 images the second is better, on 8 both are equal.
    lines = []
    for setting, train_ap in [("0.001,8", 0.5), ("0.001,32", 0.7)]:
        run = ({(0, 0): (0.8, 0.6, 0.1)}, "tiny,3,topk,2")
        few = _lines(*run, 4, setting)
        lines += [line.replace(",0.75,", f",{train_ap},") for line in few]
        lines += _lines(*run, 8, setting)
    ranked = rank_settings(read_rows([_write(tmp_path / "ap.csv", lines)], None))
    assert ranked["is_chosen"].tolist() == [True, False]
    np.testing.assert_allclose(ranked["train_map"], [0.75, 0.75])


def test_settings_have_columns_and_the_chosen_one_a_mark(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _settings_lines())
    files = _run_stages(tmp_path / "out", (ap,), splits)
    text = files["map_table.md"].decode()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert rows[0][4:8] == ["Alive", "LR", "Sparsity", "Train"]
    assert rows[2][:7] == ["random", "tiny", "3", "2", "2", "", ""]
    assert rows[3][:7] == ["topk ‡", "tiny", "3", "2", "2", "3e-07", "8"]
    assert rows[4][:7] == ["topk", "tiny", "3", "2", "2", "0.001", "32"]
    assert "‡ marks the one that is compared" in text
    # 0.9 is reached by a setting that the training images did not choose.
    best = "2 topk prototypes (learning rate 3e-07, sparsity 8) in layer 3 of tiny"
    reached = "The best of 2 configurations reaches mAP 0.533, where chance is 0.267"
    assert f"{reached}: {best}" in text
    assert files["map_table.csv"].decode().splitlines()[2].endswith(",2,3e-07,8")


def test_traits_of_a_run_with_settings_are_its_own(tmp_path):
    ap = read_rows([_write(tmp_path / "ap.csv", _settings_lines())], None)
    by_method = tabulate_configurations(ap).set_index("sparsity", drop=False)
    assert tabulate_traits(ap, by_method.loc[32]).iloc[0]["test_ap"] == 0.9
    assert tabulate_traits(ap, by_method.loc[8]).iloc[0]["test_ap"] == 0.8
    random = by_method[by_method["sparsity"].isna()].iloc[0]
    assert tabulate_traits(ap, random)["n_seeds"].tolist() == [1, 1, 1]


def _stage(name):
    return runpy.run_path(str(SCRIPTS / f"{name}.py"))[name]


def _whole(folder, ap_files):
    """The labels, and that these files are all that is expected."""
    rows = read_rows(ap_files, None)
    families = {}
    for family, run in runs_of(rows):
        families.setdefault(family, []).append(run)
    traits = sorted(rows["trait"].unique())
    labels_NT = np.zeros((1, len(traits)), np.bool_)
    TraitLabels(["0"], traits, labels_NT).save(folder / "traits.npz")
    expected = Expected(
        study="small",
        dataset="birds",
        runs=tuple(write_families(families)),
        n_train=tuple(sorted(rows["n_train"].unique().tolist())),
        selection_seeds=(0,),
    )
    return folder / "traits.npz", expected


def _run_stages(folder, ap_files, splits, sae_metrics=(), features=()):
    folder.mkdir(exist_ok=True)
    traits, expected = _whole(splits.parent, ap_files)
    read = ApFiles(tuple(ap_files), splits, traits)
    whole = {"expected": expected}

    def files(name, *suffixes):
        return [folder / f"{name}{suffix}" for suffix in suffixes]

    _stage("tabulate_map")(read, *files("map_table", ".md", ".csv"), **whole)
    _stage("plot_map")(read, *files("map_chart", ".png", ".svg"), **whole)
    for one in ("layer", "encoder", "group"):
        tables = files(f"{one}_table", ".md", ".csv")
        charts = files(f"{one}_chart", ".png", ".svg")
        _stage(f"compare_{one}s")(read, *tables, *charts, **whole)
    drawings = [
        folder / f"{one}_chart.svg" for one in ("map", "layer", "encoder", "group")
    ]
    sae_front = tuple(files("sae_front", ".svg") if sae_metrics else ())
    if sae_metrics:
        front = files("sae_front", ".png", ".svg")
        _stage("plot_sae_front")(sae_metrics, *front, runs=SAE_RUNS)
    more = sae_metrics, sae_front, features
    page = folder / "index.html"
    whole |= {"n_correlated": 9, "sae_runs": SAE_RUNS if sae_metrics else ()}
    _stage("write_map_page")(read, *drawings, *more, page, **whole)
    written = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return {path.name: path.read_bytes() for path in written}


def test_stages_write_the_same_bytes_whatever_the_order_of_their_files(
    tmp_path, splits
):
    gaussian = {pair: (0.5, 0.2, 0.1) for pair in BY_SEED}
    random = _write(tmp_path / "random.csv", _lines(BY_SEED))
    other = _write(tmp_path / "gaussian.csv", _lines(gaussian, "tiny,3,gaussian,2"))
    first = _run_stages(tmp_path / "first", (random, other), splits)
    second = _run_stages(tmp_path / "second", (other, random), splits)
    winner = "With 2 prototypes (tiny, layer 3, chosen on 4 images), random wins: "
    assert winner in first["map_table.md"].decode()
    assert winner in first["index.html"].decode()
    assert list(first) == [
        *("encoder_chart.png", "encoder_chart.svg"),
        *("encoder_table.csv", "encoder_table.md"),
        *("group_chart.png", "group_chart.svg", "group_table.csv", "group_table.md"),
        "index.html",
        *("layer_chart.png", "layer_chart.svg", "layer_table.csv", "layer_table.md"),
        *("map_chart.png", "map_chart.svg", "map_table.csv", "map_table.md"),
    ]
    for name in first:
        assert first[name] == second[name], name
    assert first["map_table.csv"].decode() == (
        "dataset,encoder,layer,method,n_prototypes,n_train,map,p5,p95,chance,n_traits,"
        "n_seeds,n_alive,learning_rate,sparsity\n"
        "birds,tiny,3,gaussian,2,4,0.266667,0.110000,0.470000,0.266667,3,3,1.66666666667,,\n"
        "birds,tiny,3,random,2,4,0.533333,0.230000,0.860000,0.266667,3,3,1.66666666667,,\n"
    )


def test_rows_come_in_one_order_whatever_the_order_of_files_and_lines(tmp_path):
    lines = _lines(BY_SEED)
    other = _lines(BY_SEED, "tiny,3,gaussian,2")
    whole = read_rows([_write(tmp_path / "a.csv", lines + other)], None)
    shuffled = _write(tmp_path / "c.csv", lines[::-1])
    assert read_rows([shuffled, _write(tmp_path / "b.csv", other)], None).equals(whole)


def test_a_list_of_fewer_images_than_were_trained_on_is_refused(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED, n_train=7))
    traits, expected = _whole(tmp_path, (ap,))
    out = tmp_path / "t.md", tmp_path / "t.csv"
    files = ApFiles((ap,), splits, traits)
    with pytest.raises(ValueError, match=r"name 7 training images, but .* has 6"):
        _stage("tabulate_map")(files, *out, expected=expected)


class _Page(HTMLParser):
    """Collects the cells of all tables, and what the page would load."""

    def __init__(self):
        super().__init__()
        self.rows, self.links, self.tags, self.ids = [], [], [], []
        self.in_cell = False

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data


def _read_page(text):
    page = _Page()
    page.feed(text)
    return page


def test_the_page_shows_table_and_traits_and_loads_nothing(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    text = _run_stages(tmp_path / "out", (ap,), splits)["index.html"].decode()
    page = _read_page(text)
    assert all(link.startswith("#") for link in page.links)
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert "@import" not in text
    assert "url(http" not in text
    rows = [[cell.strip() for cell in row] for row in page.rows]
    assert [
        *("random", "tiny", "3", "2", "1.7", "4", "0.533 ± 0.058", "0.230", "0.860")
    ] in [row[:9] for row in rows]
    assert ["wing::blue", "0.900", "0.500", "0.400"] in [row[:4] for row in rows]
    bill = "bill::all-purpose (no prototype could be chosen in 1 of 3)"
    assert [bill, "0.467", "0.200", "0.267"] in [row[:4] for row in rows]
    assert ["other", "3", "0.267", "0.533 (+0.267)"] in rows
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.removeprefix("#") in page.ids, link
    assert "reaches mAP 0.533, where chance is 0.267" in text
    assert "autoencoder" not in text
    assert "Prototypes and their images" not in text


SAE_METRICS = (
    "encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_patches,mse,nmse,"
    "explained_variance,l0,l1,n_dead,n_almost_dead,n_dense,mean_absolute_correlation,"
    "coherence\n"
    "tiny,3,topk,20,0.001,4.0,0,40,0.25,0.5,0.45,4.0,9.5,5,0,15,0.125,0.5\n"
)


SAE_RUNS = ("tiny/layer3/topk:k20-lr0.001-sparsity4-seed0",)


def _write_features(folder, layer):
    """What the page reads of a page of features."""
    folder.mkdir(parents=True)
    place = {"encoder": "tiny", "layer": layer, "method": "topk", "run": folder.name}
    (folder / "features.json").write_text(json.dumps({**place, "prototypes": []}))
    (folder / "index.html").write_text("<p>")
    return folder


def test_the_page_shows_autoencoders_and_finds_the_pages_of_features(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    metrics = tmp_path / "sae_metrics.csv"
    metrics.write_text(SAE_METRICS)
    out = tmp_path / "study"
    features = [
        _write_features(out / f"layer{layer}/a b/k{layer}-seed0", layer)
        for layer in (11, 3)
    ]
    written = [
        _run_stages(out, (ap,), splits, (metrics,), tuple(order))["index.html"]
        for order in (features, features[::-1])
    ]
    assert written[0] == written[1]
    text = written[0].decode()
    assert "topk in layer 3 of tiny, 20 latents" in text
    page = _read_page(text)
    assert [
        *("topk", "tiny", "3", "20", "0.001", "4", "1", "0.250", "0.500", "0.450"),
        *("4.0", "9.50", "25.0", "–", "75.0", "0.125", "0.500"),
    ] in page.rows
    assert "of 9 latents drawn at random" in text
    assert page.tags.count("svg") == 3  # the headline, kinds of traits, autoencoders
    assert len(page.ids) == len(set(page.ids))
    inside = [link for link in page.links if link.startswith("#")]
    assert {link.removeprefix("#") for link in inside} <= set(page.ids)
    outside = [link for link in page.links if link not in inside]
    assert [(out / unquote(link)).parent for link in outside] == features[::-1]
    assert all((out / unquote(link)).is_file() for link in outside)
    assert re.findall(r">(topk, .*)</a>", text) == [
        *("topk, tiny, layer 3: k3-seed0", "topk, tiny, layer 11: k11-seed0")
    ]


def test_metrics_without_their_chart_and_folders_without_features_are_refused(
    tmp_path, splits
):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    _run_stages(tmp_path / "out", (ap,), splits)
    chart = tmp_path / "out/map_chart.svg"
    traits, expected = _whole(tmp_path, (ap,))
    page = ApFiles((ap,), splits, traits), chart, chart, chart, chart
    out, more = tmp_path / "index.html", {"n_correlated": 9, "sae_runs": ()}
    more["expected"] = expected
    with pytest.raises(ValueError, match="1 files of metrics and 0 charts"):
        _stage("write_map_page")(*page, (ap,), (), (), out, **more)
    with pytest.raises(ValueError, match=f"{tmp_path} holds no features.json"):
        _stage("write_map_page")(*page, (), (), (tmp_path,), out, **more)
    assert not out.exists()


def test_names_cannot_smuggle_markup_into_the_page(tmp_path, splits):
    evil = "<img src=x onerror=alert(1)>"
    lines = [
        line.replace("tiny", evil).replace("wing::blue", "<script>w()</script>")
        for line in _lines(BY_SEED)
    ]
    ap = _write(tmp_path / "ap.csv", lines)
    text = _run_stages(tmp_path / "out", (ap,), splits)["index.html"].decode()
    page = _read_page(text)
    assert "img" not in page.tags
    assert page.tags.count("script") == 1
    assert ["random", evil] in [row[:2] for row in page.rows]


def test_a_chart_that_is_no_svg_is_refused(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    traits, expected = _whole(tmp_path, (ap,))
    with pytest.raises(ValueError, match="the chart of map is not an SVG document"):
        _stage("write_map_page")(
            *(ApFiles((ap,), splits, traits), ap, ap, ap, ap, (), (), ()),
            tmp_path / "index.html",
            n_correlated=9,
            sae_runs=(),
            expected=expected,
        )


GOOD = _lines({(0, 0): (0.8, 0.6, 0.1)})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "n_train,trait",
            "n_train,name",
            "ap.csv lacks the columns trait: it has study,",
        ),
        (
            "0.8,0.5",
            "1.8,0.5",
            "ap.csv, line 2: an AP or a prevalence is not between 0",
        ),
        ("0.8,0.5", "0.8,-1", "ap.csv, line 2: an AP or a prevalence is not between 0"),
        (
            "0,2,0,4,wing",
            "0,3,0,4,wing",
            "ap.csv, line 2: n_alive is not between 0 and",
        ),
        ("1,0.75,0.6", ",0.75,0.6", "ap.csv, line 3: prototype and train_ap go toge"),
        ("1,0.75,0.6", "1,,0.6", "ap.csv, line 3: prototype and train_ap go together"),
        ("1,0.75,0.6", ",,0.6", "ap.csv, line 3: without a prototype, test_ap must be"),
        ("0.1,0.1", ",0.1", "ap.csv, line 4: test_ap must be empty where no test"),
        ("1,0.75,0.8", "one,0.75,0.8", "ap.csv: "),
        ("tiny,3", "tiny,layer3", "ap.csv: "),
    ],
)
def test_damaged_ap_files_are_refused(tmp_path, old, new, expected):
    path = _write(tmp_path / "ap.csv", GOOD)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_rows([path], None)


def test_an_empty_ap_file_is_refused(tmp_path):
    (tmp_path / "ap.csv").write_text("")
    with pytest.raises(ValueError, match=r"lacks the columns study, .*: it has none"):
        read_rows([tmp_path / "ap.csv"], None)
    (tmp_path / "ap.csv").write_text(HEADER)
    with pytest.raises(ValueError, match="hold 0 data sets"):
        read_rows([tmp_path / "ap.csv"], None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            GOOD[-1:],
            "1 rows of the AP files repeat others, the first: encoder tiny",
        ),
        (
            [line.replace("birds", "cars").replace("random", "pca") for line in GOOD],
            r"hold 2 data sets \(birds, cars\)",
        ),
        (
            [
                line.replace("random", "pca").replace("0.8,0.5", "0.8,0.4")
                for line in GOOD
            ],
            "give the trait wing::blue different prevalences, 0.4 and 0.5",
        ),
        (
            [line.replace("random", "pca") for line in GOOD[:3]],
            "a run has 3 of the 4 traits of the others: encoder tiny, layer 3, met",
        ),
        (
            [line.replace(",0,2,0,4,", ",0,2,0,6,") for line in GOOD]
            + [line.replace("random", "pca") for line in GOOD],
            "a run lacks some n_train of 4, 6, .*: encoder tiny, layer 3, method pca",
        ),
        (
            [line.replace(",0,2,0,4,", ",0,1,0,6,") for line in GOOD],
            "a run has different numbers of alive prototypes: encoder tiny, layer 3",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path, lines, expected):
    first = _write(tmp_path / "a.csv", GOOD)
    second = _write(tmp_path / "b.csv", lines)
    with pytest.raises(ValueError, match=expected):
        read_rows([second, first], None)


def test_traits_that_no_test_image_shows_are_never_scored(tmp_path):
    path = _write(tmp_path / "ap.csv", GOOD[-1:])
    with pytest.raises(ValueError, match=r"no trait .* is shown by any test image"):
        tabulate_configurations(read_rows([path], None))


def _study(folder, n_train=(4, "all")):
    """Two families of two runs each, chosen on 4 and on all 6 images."""
    paths = []
    for method in ("random", "pca"):
        lines = []
        for k in (2, 3):
            run = f"tiny,3,{method},{k}"
            pairs = dict.fromkeys([(0, 0), (0, 1)], (0.8, 0.6, 0.1))
            lines += _lines(pairs, run, 4)
            lines += _lines({(0, 0): (0.8, 0.6, 0.1)}, run, 6)
        paths.append(_write(folder / f"{method}.csv", lines))
    traits = folder / "traits.npz"
    names = list(PREVALENCE)
    TraitLabels(["0"], names, np.zeros((1, len(names)), np.bool_)).save(traits)
    families = ("tiny/layer3/random,tiny/layer3/pca:k2-seed0,k3-seed0",)
    return paths, traits, Expected("small", "birds", families, n_train, (0, 1))


def test_a_whole_study_is_read(tmp_path, splits):
    paths, traits, expected = _study(tmp_path)
    ap = read_ap(ApFiles(tuple(paths), splits, traits), expected)
    assert len(ap) == 2 * 2 * 3 * 4


# What becomes of random.csv; what is said of it.
INCOMPLETE = {
    "a run": (
        lambda rows: rows[rows["n_prototypes"] == 2],
        "the table of AP lacks tiny/layer3/random k3-seed0: give the files",
    ),
    "a surplus run": (
        lambda rows: pd.concat(
            [rows, rows[rows["n_prototypes"] == 3].assign(n_prototypes=9)]
        ),
        "holds tiny/layer3/random k9-seed0, which should not be there",
    ),
    "a subset": (
        lambda rows: rows[(rows["n_prototypes"] == 2) | (rows["selection_seed"] == 0)],
        "method random, n_prototypes 3, seed 0 lacks n_train 4 of selection seed 1",
    ),
    "all images": (
        lambda rows: rows[(rows["n_prototypes"] == 2) | (rows["n_train"] == 4)],
        "a run lacks some n_train of 4, 6, which others have: encoder tiny, layer 3, m",
    ),
    "a trait of a run": (
        lambda rows: rows[(rows["n_prototypes"] == 2) | (rows["trait"] != "eye::buff")],
        "n_train 4, seed 0, selection_seed 0: it lacks eye::buff",
    ),
    "study": (
        lambda rows: rows.assign(study="large"),
        "random.csv has the study large, expected small: delete it and",
    ),
    "data set": (
        lambda rows: rows.assign(dataset="cars"),
        "random.csv has the dataset cars, expected birds: delete it and",
    ),
}


@pytest.mark.parametrize(
    ("change", "message"), INCOMPLETE.values(), ids=INCOMPLETE.keys()
)
def test_a_study_that_is_not_whole_is_refused_by_name(
    tmp_path, splits, change, message
):
    paths, traits, expected = _study(tmp_path)
    change(pd.read_csv(paths[0])).to_csv(paths[0], index=False)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_ap(ApFiles(tuple(paths), splits, traits), expected)


def test_what_all_runs_lack_is_missed_too(tmp_path, splits):
    paths, traits, expected = _study(tmp_path)
    for path in paths:
        rows = pd.read_csv(path)
        rows[rows["n_train"] == 4].to_csv(path, index=False)
    with pytest.raises(ValueError, match="lacks n_train 6 of selection seed 0: select"):
        read_ap(ApFiles(tuple(paths), splits, traits), expected)
    paths, traits, expected = _study(tmp_path)
    for path in paths:
        rows = pd.read_csv(path)
        rows[rows["trait"] != "eye::buff"].to_csv(path, index=False)
    with pytest.raises(ValueError, match="the table of AP lacks the trait eye::buff"):
        read_ap(ApFiles(tuple(paths), splits, traits), expected)
    with pytest.raises(ValueError, match="lacks tiny/layer3/pca k2-seed0 and 1 more"):
        read_ap(ApFiles(tuple(_study(tmp_path)[0][:1]), splits, traits), expected)


def test_a_subset_that_the_study_does_not_have_is_refused(tmp_path, splits):
    paths, traits, expected = _study(tmp_path, n_train=("all",))
    with pytest.raises(ValueError, match="holds n_train 4 of selection seed 0 and"):
        read_ap(ApFiles(tuple(paths), splits, traits), expected)
