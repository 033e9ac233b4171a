"""One configuration worked out by hand, then the stages on it."""

import hashlib
import json
import re
import runpy
from html.parser import HTMLParser
from types import MappingProxyType
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from statistics_rows import CEILING, groups_of, statistics_of, trait_intervals_of

from vitproto.core.project import PROJECT
from vitproto.data.image_list import SPLIT_COLUMNS, write_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.map_page import ChartFiles, ResultFiles
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.shared.runs import runs_of
from vitproto.report.traits.answer import Place, find_answer
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap, read_rows
from vitproto.report.traits.chosen_settings import rank_settings
from vitproto.report.traits.comparison_table import tabulate_comparisons
from vitproto.report.traits.label_rules import RuleEffects
from vitproto.report.traits.map_markdown import write_map_table
from vitproto.report.traits.map_table import (
    COLUMNS,
    read_map_csv,
    tabulate_configurations,
    write_map_csv,
)
from vitproto.report.traits.map_text import Images
from vitproto.report.traits.statistics import StatisticsFiles
from vitproto.report.traits.trait_links import find_trait_pages
from vitproto.report.traits.trait_table import tabulate_traits
from vitproto.study.family import write_families

SCRIPTS = PROJECT / "scripts"
PLACE = Place("tiny", 3)
LOOKS = StudyMethods(("random",), (), ())
RULE = (3, 4), ()
"""Certainties that count as present, and as unknown."""
HEADER = (
    "study,dataset,encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_alive,"
    "selection_seed,n_train,trait,prototype,train_ap,test_ap,prevalence,chance\n"
)
CHANCE = {
    "wing::blue": 0.5,
    "bill::all-purpose": 0.2,
    "eye::buff": 0.1,
    "leg::x": "",
}
PREVALENCE = {
    "wing::blue": 0.4,
    "bill::all-purpose": 0.15,
    "eye::buff": 0.05,
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
        for (trait, chance), ap in zip(CHANCE.items(), [*values, 0.0], strict=True):
            chosen = "," if ap is None else "1,0.75"
            tested = chance if ap is None or not chance else ap
            lines.append(
                f"small,birds,{run},{setting},{seed},{n_alive[seed]},{selection},{n_train},"
                f"{trait},{chosen},{tested},{PREVALENCE[trait]},{chance}\n"
            )
    return lines


def _write(path, lines):
    path.write_text(HEADER + "".join(lines))
    return path


def _table(tmp_path, *args, **kwargs):
    return _tabulate(tmp_path, _lines(*args, **kwargs))


def _tabulate(tmp_path, lines, **planted):
    ap = read_rows([_write(tmp_path / "ap.csv", lines)], None)
    return tabulate_configurations(ap, statistics_of(ap, **planted))


def _markdown(tmp_path, lines, **planted):
    ap = read_rows([_write(tmp_path / "ap.csv", lines)], None)
    statistics = statistics_of(ap, **planted)
    table = tabulate_configurations(ap, statistics)
    comparisons = tabulate_comparisons(statistics.pairs, "birds")
    answer = find_answer(table, comparisons, PLACE)
    effects, images = RuleEffects(*RULE, statistics.rules), Images(6, 10, 1.0)
    return write_map_table(table, comparisons, effects, answer, PLACE, images)


@pytest.fixture
def splits(tmp_path):
    rows = [(str(i), "train" if i < 6 else "test", "") for i in range(16)]
    path = tmp_path / "splits.csv"
    write_splits(pd.DataFrame(rows, columns=SPLIT_COLUMNS, dtype="str"), path)
    return path


def test_three_traits_and_three_pairs_of_seeds_worked_out_by_hand(tmp_path):
    row = _table(tmp_path, TEST_AP).iloc[0]
    # Unselected traits count with their chance level, eye 0.1 and bill 0.2:
    # .8 .6 .1 -> mean .5; .9 .6 .3 -> mean .6; 1. .2 .3 -> mean .5.
    assert row["map"] == pytest.approx((0.5 + 0.6 + 0.5) / 3)
    # Of three sorted values the 5th percentile lies a tenth of the way from the
    # first to the second, the 95th nine tenths from the second to the third.
    assert row["p5"] == pytest.approx((0.15 + 0.33 + 0.21) / 3)
    assert row["p95"] == pytest.approx((0.78 + 0.87 + 0.93) / 3)
    assert row["chance"] == pytest.approx((0.5 + 0.2 + 0.1) / 3)
    assert row["prevalence"] == pytest.approx((0.4 + 0.15 + 0.05) / 3)
    # Deviations -1/30, 2/30, -1/30; n - 1 = 2.
    assert row["map_sd"] == pytest.approx((6 / 900 / 2) ** 0.5)
    assert row["n_unselected"] == pytest.approx(2 / 3)
    assert (row["n_traits"], row["n_seeds"]) == (3, 3)
    assert row["above_chance"]


def test_optimism_is_how_much_the_choice_overrates_the_chosen(tmp_path):
    row = _table(tmp_path, TEST_AP).iloc[0]
    # 0.75 on training images; unselected traits have none.
    expected = [0.75 - 0.7, 0.75 - 0.6, 0.75 - 0.65]
    assert row["optimism"] == pytest.approx(np.mean(expected))


def test_one_pair_of_seeds_has_no_spread(tmp_path):
    table = _table(tmp_path, {(0, 0): (0.8, 0.6, 0.1)})
    assert np.isnan(table["map_sd"][0])
    text = _markdown(tmp_path, _lines({(0, 0): (0.8, 0.6, 0.1)}), reach=np.nan)
    assert "| 0.500 |" in text


def test_no_more_than_permuted_labels_reach_is_marked(tmp_path):
    lines = _lines({(0, 0): (0.5, 0.2, 0.1)})
    table = _tabulate(tmp_path, lines, null_high=0.3)
    assert not table["above_chance"][0]
    text = _markdown(tmp_path, lines, null_high=0.3)
    assert "| 0.267 [0.257, 0.277] † |" in text
    assert "the mAP of the matrix is not above 95 % of the permutations (†)" in text


def test_constant_scores_are_below_chance(tmp_path):
    table = _table(tmp_path, {(0, 0): (0.4, 0.15, 0.05)})
    assert table["map"][0] == pytest.approx(table["prevalence"][0])
    assert not table["above_chance"][0]


def test_statistics_of_other_configurations_or_mAPs_are_refused(tmp_path):
    lines = _lines(BY_SEED)
    ap = read_rows([_write(tmp_path / "ap.csv", lines)], None)
    more = _lines(BY_SEED, "tiny,3,gaussian,2")
    both = read_rows([_write(tmp_path / "both.csv", lines + more)], None)
    with pytest.raises(
        ValueError, match="lacking: encoder tiny, layer 3, method gauss"
    ):
        tabulate_configurations(both, statistics_of(ap))
    with pytest.raises(ValueError, match="1 configurations have AP, and 2 statistics"):
        tabulate_configurations(ap, statistics_of(both))
    moved = statistics_of(ap)
    moved.intervals["map"] += 1e-3
    with pytest.raises(ValueError, match="of another mAP than ap.csv for encoder tiny"):
        tabulate_configurations(ap, moved)


def test_rows_are_sorted_by_number_not_by_text(tmp_path):
    lines = []
    for encoder, layer in [("b", 3), ("a", 12), ("a", 3)]:
        for method, k in [("random", 512), ("random", 64), ("gaussian", 64)]:
            for n_train in (4, 16):
                run = f"{encoder},{layer},{method},{k}"
                lines += _lines({(0, 0): (0.8, 0.6, 0.1)}, run, n_train)
    lines.reverse()
    table = _tabulate(tmp_path, lines)
    columns = ["encoder", "layer", "method", "n_prototypes", "n_train"]
    rows = list(table[columns].itertuples(index=False, name=None))
    assert rows == sorted(rows)
    assert rows[:3] == [
        ("a", 3, "gaussian", 64, 4),
        ("a", 3, "gaussian", 64, 16),
        ("a", 3, "random", 64, 4),
    ]


def test_the_markdown_tables_are_aligned_and_say_what_they_mean(tmp_path):
    text = _markdown(tmp_path, _lines(TEST_AP))
    matrix, rows = (
        [line for line in block.splitlines() if line.startswith("|")]
        for block in text.split("## mAP of random")
    )
    assert len({len(row) for row in rows}) == 1
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == [
        *("Method", "Prototypes", "Train", "mAP", "5%", "95%", "Chance", "Permuted"),
        *("Optimism", "Alive", "Seeds", "Unselected"),
    ]
    assert [cell.strip() for cell in rows[2].strip("|").split("|")] == [
        *("random", "2", "4", "0.533 [0.523, 0.543]", "0.230", "0.860", "0.267"),
        *("0.267", "0.100", "1.5", "3", "0.7"),
    ]
    assert matrix[2] == "| random | 0.533 [0.523, 0.543] |"
    assert "of 6 in the training split" in text
    assert "on the 10 test images, mean" in text


def test_the_csv_is_read_as_it_was_written(tmp_path):
    table = _tabulate(tmp_path, _settings_lines())
    write_map_csv(table, tmp_path / "map_table.csv")
    read = read_map_csv(tmp_path / "map_table.csv")
    pd.testing.assert_frame_equal(read, table, atol=1e-6, rtol=0, check_dtype=False)


def test_traits_are_listed_best_first_with_what_could_not_be_selected(tmp_path):
    ap = read_rows([_write(tmp_path / "ap.csv", _lines(TEST_AP))], None)
    table = tabulate_configurations(ap, statistics_of(ap))
    intervals = trait_intervals_of(ap)
    bill = intervals["trait"] == "bill::all-purpose"
    intervals.loc[bill, ["low", "high"]] = np.nan  # too few classes show it
    traits = tabulate_traits(ap, intervals, table.iloc[0])
    assert traits["trait"].tolist() == ["wing::blue", "bill::all-purpose", "eye::buff"]
    np.testing.assert_allclose(traits["test_ap"], [0.9, 1.4 / 3, 0.7 / 3])
    np.testing.assert_allclose(traits["chance"], [0.5, 0.2, 0.1])
    assert traits["n_unselected"].tolist() == [0, 1, 1]
    assert traits["n_seeds"].tolist() == [3, 3, 3]
    np.testing.assert_allclose(traits["low"], [0.89, np.nan, 0.7 / 3 - 0.01])
    np.testing.assert_allclose(traits["high"], [0.91, np.nan, 0.7 / 3 + 0.01])
    lacking = intervals[intervals["trait"] != "eye::buff"]
    with pytest.raises(ValueError, match="intervals are of 2 traits .* AP of 3"):
        tabulate_traits(ap, lacking, table.iloc[0])


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
    table = _tabulate(tmp_path, _settings_lines())
    columns = ["method", "learning_rate", "sparsity", "is_chosen", "n_settings"]
    assert table[columns].fillna(-1).values.tolist() == [
        ["random", -1, -1, True, 1],
        ["topk", 3e-7, 8, True, 2],
        ["topk", 0.001, 32, False, 2],
    ]


def test_each_number_of_training_images_chooses_its_own_setting(tmp_path):
    # On 4 images the second is better; on 8 both are equal, and the first is taken.
    lines = []
    for setting, train_ap in [("0.001,8", 0.5), ("0.001,32", 0.7)]:
        run = ({(0, 0): (0.8, 0.6, 0.1)}, "tiny,3,topk,2")
        few = _lines(*run, 4, setting)
        lines += [line.replace(",0.75,", f",{train_ap},") for line in few]
        lines += _lines(*run, 8, setting)
    ranked = rank_settings(read_rows([_write(tmp_path / "ap.csv", lines)], None))
    chosen = ranked[ranked["is_chosen"]]
    assert chosen[["n_train", "sparsity"]].values.tolist() == [[8, 8], [4, 32]]
    np.testing.assert_allclose(chosen["train_map"], [0.75, 0.7])


def test_only_the_chosen_setting_is_shown(tmp_path):
    text = _markdown(tmp_path, _settings_lines())
    # 0.9 is reached by a setting that the training images did not choose.
    assert "| topk   | 0.533 [0.523, 0.543] *" in text
    assert "0.900" not in text
    assert "of several learning rates and sparsities of a method" in text
    assert "## mAP of random and topk" in text


def test_traits_of_a_run_with_settings_are_its_own(tmp_path):
    ap = read_rows([_write(tmp_path / "ap.csv", _settings_lines())], None)
    table = tabulate_configurations(ap, statistics_of(ap))
    by_method = table.set_index("sparsity", drop=False)
    intervals = trait_intervals_of(ap)
    assert tabulate_traits(ap, intervals, by_method.loc[32]).iloc[0]["test_ap"] == 0.9
    assert tabulate_traits(ap, intervals, by_method.loc[8]).iloc[0]["test_ap"] == 0.8
    random = by_method[by_method["sparsity"].isna()].iloc[0]
    assert tabulate_traits(ap, intervals, random)["n_seeds"].tolist() == [1, 1, 1]


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
    TraitLabels(["0"], traits, labels_NT, np.ones_like(labels_NT)).save(
        folder / "traits.npz"
    )
    expected = Expected(
        study="small",
        dataset="birds",
        families=tuple(write_families(families)),
        n_train=tuple(sorted(rows["n_train"].unique().tolist())),
        selection_seeds=(0,),
    )
    return folder / "traits.npz", expected


def _ceiling(ap):
    """Probes that reach the same AP for each trait."""
    subsets = ["encoder", "layer", "n_train", "selection_seed", "trait"]
    rows = ap.drop_duplicates(subsets)[[*subsets, "study", "dataset", "prevalence"]]
    shown = rows["prevalence"] > 0
    tables = []
    for pooling, value in CEILING.items():
        same = {"pooling": pooling, "regularisation": 1.0}
        same |= {"cv_ap": value, "train_ap": value}
        tables.append(rows.assign(**same, test_ap=np.where(shown, value, np.nan)))
    return pd.concat(tables)


def _write_statistics(folder, ap):
    planted = statistics_of(ap)
    null = planted.null.rename(columns={"null": "map"}).drop(columns="null_high")
    same = {"study": "small", "dataset": "birds", "selection_seed": 0}
    permuted = [null.assign(**same, permutation=p) for p in range(20)]
    tables = {
        "intervals": planted.intervals,
        "pairs": planted.pairs,
        "null": pd.concat(permuted),
        "ceiling": _ceiling(ap),
        "ceilings": planted.ceilings,
        "rules": planted.rules,
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return StatisticsFiles(*((folder / f"{name}.csv",) for name in tables))


def _write_trait_pages(folder, ap_files, highlights):
    """A folder that names a page for each trait."""
    folder.mkdir(exist_ok=True)
    traits = sorted(read_rows(ap_files.ap, None)["trait"].unique())
    pages = {trait: f"{t:03d}.html" for t, trait in enumerate(traits)}
    (folder / "pages.json").write_text(json.dumps(pages))
    picked = {"place": "tiny, layer 3", "n_traits": len(traits), "highlights": []}
    picked["are_common"] = False
    (folder / "highlights.json").write_text(json.dumps(picked | highlights))
    return folder


def _run_stages(
    folder,
    ap_files,
    splits,
    sae_metrics=(),
    features=(),
    place=PLACE,
    highlights=MappingProxyType({}),
):
    folder.mkdir(exist_ok=True)
    traits, expected = _whole(splits.parent, ap_files)
    read = ApFiles(tuple(ap_files), splits, traits)
    whole = {"expected": expected}

    def files(name, *suffixes):
        return [folder / f"{name}{suffix}" for suffix in suffixes]

    map_table = folder / "map_table.csv"
    _stage("tabulate_map")(
        read,
        _write_statistics(splits.parent, read_rows(ap_files, None)),
        *files("map_table", ".md", ".csv"),
        *(folder / "comparison_table.csv", folder / "answer.md"),
        place=place,
        **{"controls": (), "present": RULE[0], "unknown": RULE[1]},
        **whole,
    )
    groups = splits.parent / "groups.csv"
    groups_of(read_rows(ap_files, None)).to_csv(groups, index=False)
    single = splits.parent / "trait_intervals.csv"
    trait_intervals_of(read_rows(ap_files, None)).to_csv(single, index=False)
    methods = tuple(sorted(read_rows(ap_files, None)["method"].unique()))
    saes = ("topk",) if sae_metrics else ()
    looks = StudyMethods((*methods, *saes), saes, ())
    drawn = files("map_chart", ".png", ".svg")
    _stage("plot_map")(map_table, *drawn, place=place, looks=looks)
    for one in ("layer", "encoder", "group"):
        tables = files(f"{one}_table", ".md", ".csv")
        charts = files(f"{one}_chart", ".png", ".svg")
        if one == "group":
            _stage("compare_groups")(
                *(map_table, (groups,), *tables, *charts), looks=looks
            )
        else:
            named = {"looks": looks} if one == "layer" else {}
            _stage(f"compare_{one}s")(map_table, *tables, *charts, **named)
    drawings = [
        folder / f"{one}_chart.svg" for one in ("map", "layer", "encoder", "group")
    ]
    sae_front = tuple(files("sae_front", ".svg") if sae_metrics else ())
    if sae_metrics:
        front = files("sae_front", ".png", ".svg")
        _stage("plot_sae_front")(
            sae_metrics, *front, sae_families=SAE_RUNS, looks=looks
        )
    pages = _write_trait_pages(folder / "traits", read, highlights)
    more = sae_metrics, sae_front, (), features, pages
    page = folder / "index.html"
    whole |= {"n_correlated": 9, "sae_families": SAE_RUNS if sae_metrics else ()}
    whole |= {"place": place, "looks": looks}
    results = [folder / name for name in ("map_table.csv", "group_table.csv")]
    results += [(single,), folder / "answer.md"]
    _stage("write_map_page")(
        read, ResultFiles(*results), ChartFiles(*drawings), *more, page, **whole
    )
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
    winner = (
        "With 2 prototypes (tiny, layer 3), chosen on 4 training images of birds, "
        "random is better than gaussian: mAP 0.533 [0.523, 0.543] on the test images."
    )
    for name in ("answer.md", "map_table.md", "index.html"):
        assert winner in first[name].decode()
    assert list(first) == [
        *("answer.md", "comparison_table.csv"),
        *("encoder_chart.png", "encoder_chart.svg"),
        *("encoder_table.csv", "encoder_table.md"),
        *("group_chart.png", "group_chart.svg", "group_table.csv", "group_table.md"),
        "index.html",
        *("layer_chart.png", "layer_chart.svg", "layer_table.csv", "layer_table.md"),
        *("map_chart.png", "map_chart.svg", "map_table.csv", "map_table.md"),
    ]
    for name in first:
        assert first[name] == second[name], name
    header, gaussian_row, random_row = first["map_table.csv"].decode().splitlines()
    assert header == ",".join(COLUMNS)
    assert gaussian_row == (
        "birds,tiny,3,gaussian,2,4,0.266667,0.110000,0.470000,0.266667,3,3,"
        "1.66666666667,,,0.256667,0.276667,0.246667,0.286667,0.200000,0.266667,"
        "0.266667,0.483333,0.700000,0.690000,0.710000,max,0.000000,0.000000,20,0.000000,False,0.750000,True,1,"
        "3,20"
    )
    assert random_row.startswith("birds,tiny,3,random,2,4,0.533333,0.230000,0.860000,")


def test_rows_come_in_one_order_whatever_the_order_of_files_and_lines(tmp_path):
    lines = _lines(BY_SEED)
    other = _lines(BY_SEED, "tiny,3,gaussian,2")
    whole = read_rows([_write(tmp_path / "a.csv", lines + other)], None)
    shuffled = _write(tmp_path / "c.csv", lines[::-1])
    assert read_rows([shuffled, _write(tmp_path / "b.csv", other)], None).equals(whole)


def test_a_list_of_fewer_images_than_were_trained_on_is_refused(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED, n_train=7))
    traits, expected = _whole(tmp_path, (ap,))
    out = (tmp_path / f"{i}" for i in range(4))
    files = ApFiles((ap,), splits, traits)
    statistics = _write_statistics(tmp_path, read_rows([ap], None))
    with pytest.raises(ValueError, match=r"name 7 training images, but .* has 6"):
        _stage("tabulate_map")(
            files,
            statistics,
            *out,
            place=PLACE,
            controls=(),
            present=(3, 4),
            unknown=(),
            expected=expected,
        )


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
    inside = [link for link in page.links if link.startswith("#")]
    pages = [link for link in page.links if not link.startswith("#")]
    assert pages[0] == "traits/index.html"
    names = json.loads((tmp_path / "out/traits/pages.json").read_text())
    table = text[text.index('<table id="traits"') :]
    linked = re.findall(r'<a href="(traits/[^"]+)">(.*?)</a>', table)
    for href, name in linked:
        assert href == f"traits/{names[name.replace('<wbr>', '')]}"
    assert pages[1:] == ["traits/index.html", *(href for href, _ in linked)]
    assert len(linked) == 3
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert "@import" not in text
    assert "url(http" not in text
    rows = [[cell.strip() for cell in row] for row in page.rows]
    assert [
        *("tiny", "3", "", "random", "2", "4", "0.533 [0.523, 0.543]"),
        *("0.230", "0.860", "0.267"),
    ] in [row[:10] for row in rows]
    assert ["wing::blue", "0.900 [0.890, 0.910]", "0.500", "0.400"] in [
        row[:4] for row in rows
    ]
    bill = "bill::all-purpose (no prototype could be chosen in 1 of 3)"
    assert [bill, "0.467 [0.457, 0.477]", "0.200", "0.267"] in [row[:4] for row in rows]
    assert ["other", "3", "0.267", "0.533 [0.523, 0.543]"] in rows
    assert len(page.ids) == len(set(page.ids))
    for link in inside:
        assert link.removeprefix("#") in page.ids, link
    assert (
        "random, the only method with that many, reaches mAP 0.533 [0.523, 0.543] on"
        in text
    )
    assert "autoencoder" not in text
    assert "Prototypes and their images" not in text


SAE_METRICS = (
    "encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_patches,mse,nmse,"
    "explained_variance,l0,l1,n_dead,n_almost_dead,n_dense,mean_absolute_correlation,"
    "coherence,n_trained_patches,nmse_slope\n"
    "tiny,3,topk,20,0.001,4.0,0,40,0.25,0.5,0.45,4.0,9.5,5,0,15,0.125,0.5,640,-0.02\n"
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
        *("topk", "tiny", "3", "20", "0.001", "4", "1", "0.250", "0.500"),
        *("−2.0 %, still improving", "0.450", "4.0", "9.50", "25.0", "–", "75.0"),
        *("0.125", "0.500", "640"),
    ] in page.rows
    assert "of 9 latents drawn at random" in text
    assert page.tags.count("svg") == 3  # the headline, kinds of traits, autoencoders
    assert len(page.ids) == len(set(page.ids))
    inside = [link for link in page.links if link.startswith("#")]
    assert {link.removeprefix("#") for link in inside} <= set(page.ids)
    to_traits = [link for link in page.links if link.startswith("traits/")]
    outside = [link for link in page.links if link not in [*inside, *to_traits]]
    assert [(out / unquote(link)).parent for link in outside] == features[::-1]
    assert all((out / unquote(link)).is_file() for link in outside)
    assert re.findall(r">(topk, .*)</a>", text) == [
        *("topk, tiny, layer 3: k3-seed0", "topk, tiny, layer 11: k11-seed0")
    ]


def test_picked_traits_stand_there_with_their_images_and_a_link(tmp_path, splits):
    overlay = {"left": 0.0, "top": 0.0, "width": 100.0, "height": 50.0}
    image = {
        "image_id": "<i>7",
        "class_name": "<script>alert(1)</script>",
        "thumbnail": {"name": "000007.jpg", "width": 160, "height": 90},
        "shows": True,
        "score": "4.25",
        "overlay": overlay | {"source": "data:image/png;base64,AAAA"},
    }
    one = {"heading": "Found best by random", "trait": "wing::blue", "text": "AP: 1."}
    one |= {"method": "random", "page": "000.html", "images": [image]}
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    picked = {"highlights": [one]}
    files = _run_stages(tmp_path / "out", (ap,), splits, highlights=picked)
    text = files["index.html"].decode()
    section = text[text.index("<h3>Found best by random</h3>") :]
    section = section[: section.index("</section>")]
    assert '<a href="traits/003.html">wing::blue</a>. AP: 1.' in section
    assert 'src="traits/images/000007.jpg" width="160" height="90"' in section
    assert "✓ with · 4.25<br>&lt;script&gt;alert(1)&lt;/script&gt;<br>" in section
    assert (
        "Extremes of 4 traits, on the test images in tiny, layer 3: by how far" in text
    )
    assert _read_page(text).tags.count("script") == 1


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("highlights.json", "{}", "it lacks 'place'"),
        ("highlights.json", "[]", "it lacks 'place'"),
        (
            "highlights.json",
            '{"place": 1, "n_traits": 2, "are_common": false}',
            "lacks",
        ),
        ("highlights.json", '{"place": 1, "n_traits": null}', "int"),
        ("pages.json", "[]", "it names no page"),
        ("pages.json", '{"a": 1}', "unsupported operand"),
        ("pages.json", "{", "Expecting property name"),
    ],
)
def test_damaged_notes_of_traits_are_named(tmp_path, name, text, why):
    (tmp_path / "pages.json").write_text('{"a": "000-a.html"}')
    picked = {"place": "x", "n_traits": 1, "are_common": True, "highlights": []}
    (tmp_path / "highlights.json").write_text(json.dumps(picked))
    assert find_trait_pages(tmp_path, tmp_path / "index.html").pages
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name} is damaged .*{why}.*: delete"):
        find_trait_pages(tmp_path, tmp_path / "index.html")


def test_the_page_says_what_wrote_it_and_of_which_files(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    text = _run_stages(tmp_path / "out", (ap,), splits)["index.html"].decode()
    footer = text[text.index("<footer>") : text.index("</footer>")]
    for file in (splits, tmp_path / "out/map_table.csv"):
        assert f"<code>{hashlib.sha256(file.read_bytes()).hexdigest()}</code>" in footer
    assert re.search(r"Written by vitproto \d+\.\d+\.\d+", footer)
    assert re.search(r"cite: The vitproto authors \(20\d\d\)", footer)


def test_metrics_without_their_chart_and_folders_without_features_are_refused(
    tmp_path, splits
):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    _run_stages(tmp_path / "out", (ap,), splits)
    chart = tmp_path / "out/map_chart.svg"
    traits, expected = _whole(tmp_path, (ap,))
    tables = [tmp_path / "out" / f"{name}_table.csv" for name in ("map", "group")]
    single = (tmp_path / "trait_intervals.csv",)
    results = [*tables, single, tmp_path / "out/answer.md"]
    page = ApFiles((ap,), splits, traits), ResultFiles(*results)
    page = *page, ChartFiles(*[chart] * 4)
    out, more = tmp_path / "index.html", {"n_correlated": 9, "sae_families": ()}
    more |= {"expected": expected, "place": PLACE, "looks": LOOKS}
    with pytest.raises(ValueError, match="1 files of metrics and 0 charts"):
        _stage("write_map_page")(*page, (ap,), (), (), (), out, out, **more)
    with pytest.raises(ValueError, match=f"{tmp_path} holds no features.json"):
        _stage("write_map_page")(*page, (), (), (), (tmp_path,), out, out, **more)
    assert not out.exists()


def test_names_cannot_smuggle_markup_into_the_page(tmp_path, splits):
    evil = "<img src=x onerror=alert(1)>"
    lines = [
        line.replace("tiny", evil).replace("wing::blue", "<script>w()</script>")
        for line in _lines(BY_SEED)
    ]
    ap = _write(tmp_path / "ap.csv", lines)
    files = _run_stages(tmp_path / "out", (ap,), splits, place=Place(evil, 3))
    text = files["index.html"].decode()
    page = _read_page(text)
    assert "img" not in page.tags
    assert page.tags.count("script") == 1
    assert "2 prototypes (&lt;img src=x onerror=alert(1)&gt;, layer 3)" in text


def test_a_chart_that_is_no_svg_is_refused(tmp_path, splits):
    ap = _write(tmp_path / "ap.csv", _lines(BY_SEED))
    traits, expected = _whole(tmp_path, (ap,))
    _run_stages(tmp_path / "out", (ap,), splits)
    tables = [tmp_path / "out" / f"{name}_table.csv" for name in ("map", "group")]
    single = (tmp_path / "trait_intervals.csv",)
    results = [*tables, single, tmp_path / "out/answer.md"]
    with pytest.raises(ValueError, match="the chart of map is not an SVG document"):
        _stage("write_map_page")(
            ApFiles((ap,), splits, traits),
            ResultFiles(*results),
            *(ChartFiles(ap, ap, ap, ap), (), (), (), (), tmp_path / "out/traits"),
            tmp_path / "index.html",
            n_correlated=9,
            sae_families=(),
            place=PLACE,
            looks=LOOKS,
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
            "0.8,0.4",
            "1.8,0.4",
            "ap.csv, line 2: an AP, a prevalence or a chance level is not between 0",
        ),
        (
            "0.8,0.4",
            "0.8,-1",
            "ap.csv, line 2: an AP, a prevalence or a chance level is not between 0",
        ),
        ("0.8,0.4,0.5", "0.8,0.4,0.3", "ap.csv, line 2: chance is below the prevalenc"),
        ("0.8,0.4,0.5", "0.8,0.4,", "ap.csv, line 2: chance must be empty where no te"),
        (
            "0,2,0,4,wing",
            "0,3,0,4,wing",
            "ap.csv, line 2: n_alive is not between 0 and",
        ),
        ("1,0.75,0.6", ",0.75,0.6", "ap.csv, line 3: prototype and train_ap go toge"),
        ("1,0.75,0.6", "1,,0.6", "ap.csv, line 3: prototype and train_ap go together"),
        ("1,0.75,0.6", ",,0.6", "ap.csv, line 3: without a prototype, test_ap must be"),
        ("0.1,0.05", ",0.05", "ap.csv, line 4: test_ap must be empty where no test"),
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
                line.replace("random", "pca").replace("0.8,0.4", "0.8,0.3")
                for line in GOOD
            ],
            "give the trait wing::blue different prevalences, 0.3 and 0.4",
        ),
        (
            [
                line.replace("random", "pca").replace("0.4,0.5", "0.4,0.6")
                for line in GOOD
            ],
            "give the trait wing::blue different chance levels, 0.5 and 0.6",
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
    with pytest.raises(ValueError, match=r"no trait .* is shown by any test image"):
        _tabulate(tmp_path, GOOD[-1:])


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
    labels_NT = np.zeros((1, len(names)), np.bool_)
    TraitLabels(["0"], names, labels_NT, ~labels_NT).save(traits)
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
