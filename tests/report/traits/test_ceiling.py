"""A table of ceilings worked out by hand, and files that it must not be made of."""

import numpy as np
import pandas as pd
import pytest

from vitproto.data.image_list import SPLIT_COLUMNS, write_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.traits.ap_table import ApFiles, Expected
from vitproto.report.traits.ceiling import (
    COLUMNS,
    read_ceiling,
    share_of_ceiling,
    tabulate_ceiling,
)

TRAITS = ["wing::blue", "bill::long", "leg::x"]
PREVALENCE = [0.5, 0.25, 0.0]  # no test image shows a leg
EXPECTED = Expected(
    "small", "birds", ("tiny/layer3/random:k2-seed0",), (4, "all"), (0, 1)
)
SUBSETS = [(4, 0), (4, 1), (8, 0)]
# Test AP of wing and bill; cross-validated AP of wing, bill and leg. None: no probe.
AP = {
    "max": [(0.8, 0.6), (0.7, None), (0.9, 0.7)],
    "mean": [(0.6, 0.4), (0.5, None), (0.95, 0.85)],
}
CV = {
    "max": [(0.5, None, 0.9), (0.6, None, None), (0.7, 0.5, 0.6)],
    "mean": [(0.6, None, 0.6), (0.7, None, None), (0.7, 0.6, 0.6)],
}


def layer_rows(encoder="tiny"):
    rows = []
    for pooling in AP:
        for subset, test, cv in zip(SUBSETS, AP[pooling], CV[pooling], strict=True):
            n_train, seed = subset
            for i, trait in enumerate(TRAITS):
                prevalence = PREVALENCE[i]
                has_probe = i == 2 or test[i] is not None
                test_ap = np.nan if i == 2 else (test[i] or prevalence)
                probe = (10, cv[i], 0.9) if has_probe else (None, None, None)
                place = ("small", "birds", encoder, 3, pooling, seed, n_train, trait)
                rows.append((*place, *probe, test_ap, prevalence))
    return pd.DataFrame(rows, columns=list(COLUMNS))


class Files:
    def __init__(self, folder):
        self.folder = folder
        self.files = ApFiles((), folder / "splits.csv", folder / "traits.npz")
        ids = [f"{i}" for i in range(12)]
        splits = [(i, "train" if n < 8 else "test", "") for n, i in enumerate(ids)]
        write_splits(pd.DataFrame(splits, columns=SPLIT_COLUMNS), self.files.splits)
        labels_NT = np.zeros((12, 3), bool)
        TraitLabels(ids, TRAITS, labels_NT, ~labels_NT).save(self.files.traits)

    def read(self, *tables, expected=EXPECTED):
        paths = []
        for i, table in enumerate(tables):
            paths.append(self.folder / f"{i}.csv")
            table.to_csv(paths[-1], index=False)
        return read_ceiling(paths, self.files, expected)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def test_the_pooling_is_chosen_on_training_images_only(files):
    table = tabulate_ceiling(files.read(layer_rows()))
    few, many = (row for _, row in table.iterrows())
    # max: seed 0 has 0.7, seed 1 0.475 (the bill counts with 0.25); mean 0.5 and 0.375.
    assert few["map_max"] == pytest.approx(0.5875)
    assert few["map_mean"] == pytest.approx(0.4375)
    # max: (0.5 + 0.9) / 2 and 0.6; mean: (0.6 + 0.6) / 2 and 0.7. Of equals, the first.
    assert few["cv_max"] == pytest.approx(0.65)
    assert few["cv_mean"] == pytest.approx(0.65)
    assert (few["pooling"], few["ceiling"]) == ("max", few["map_max"])
    assert many["cv_max"] == pytest.approx(0.6)
    assert many["cv_mean"] == pytest.approx(1.9 / 3)
    assert (many["pooling"], many["ceiling"]) == ("mean", pytest.approx(0.9))
    assert many["map_max"] == pytest.approx(0.8)
    assert few["n_probed"] == 1.5
    assert many["n_probed"] == 2
    assert many["train_map"] == pytest.approx(0.9)
    assert [few["n_train"], many["n_train"]] == [4, 8]


def test_the_better_pooling_on_test_images_is_not_chosen_for_that(files):
    rows = layer_rows()
    is_max = (rows["pooling"] == "max") & rows["cv_ap"].notna()
    rows.loc[is_max, "cv_ap"] += 0.1
    chosen = tabulate_ceiling(files.read(rows)).set_index("n_train")
    assert chosen["pooling"].to_dict() == {4: "max", 8: "max"}
    assert chosen["ceiling"][8] == pytest.approx(0.8)  # mean would have 0.9
    rows.loc[is_max, "cv_ap"] -= 0.2
    chosen = tabulate_ceiling(files.read(rows)).set_index("n_train")
    assert chosen["pooling"].to_dict() == {4: "mean", 8: "mean"}


def test_without_cross_validation_the_first_pooling_stands(files):
    rows = layer_rows()
    rows["cv_ap"] = np.nan
    table = tabulate_ceiling(files.read(rows))
    assert table["pooling"].tolist() == ["max", "max"]
    assert table["cv_max"].isna().all()


def test_the_order_of_files_and_rows_changes_nothing(files):
    expected = Expected(
        *("small", "birds"),
        ("tiny/layer3/random:k2-seed0", "other/layer3/pca:k2-seed0"),
        *((4, "all"), (0, 1)),
    )
    one, two = layer_rows(), layer_rows("other")
    table = tabulate_ceiling(files.read(one, two, expected=expected))
    assert table["encoder"].tolist() == ["other", "other", "tiny", "tiny"]
    shuffled = two.sample(frac=1, random_state=0), one[::-1]
    again = tabulate_ceiling(files.read(*shuffled, expected=expected))
    pd.testing.assert_frame_equal(table, again)


def test_the_share_of_the_ceiling_by_hand():
    share_R = share_of_ceiling(
        pd.Series([0.4, 0.1, 0.9, 0.4]),
        pd.Series([0.2, 0.2, 0.2, 0.2]),
        pd.Series([0.7, 0.7, 0.7, 0.2]),
    )
    assert share_R[:3].tolist() == pytest.approx([0.4, -0.2, 1.4])
    assert np.isnan(share_R[3])


def change(column, value, where=None):
    def edit(rows):
        mask = rows.index == 0 if where is None else where(rows)
        rows.loc[mask, column] = value
        return rows

    return edit


def without_probe(rows):
    return rows["regularisation"].isna()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("test_ap", 1.2), "line 2: an AP or a prevalence is not between"),
        (change("train_ap", None), "regularisation and train_ap go together"),
        (change("regularisation", 0), "a regularisation is not above 0"),
        (change("cv_ap", 0.3, without_probe), "without a probe there is no cv_ap"),
        (change("test_ap", None), "test_ap must be empty where no test image"),
        (change("study", "large"), "has the study large, small, expected small"),
        (change("dataset", "fish", lambda r: r.index >= 0), "the dataset fish, exp"),
        (change("prevalence", 0.4), "different prevalences: trait wing::blue"),
        (change("trait", "tail"), "lacks wing::blue, and holds tail"),
        (
            change("layer", 4, lambda r: r.index >= 0),
            "layer3 .*, and holds tiny/layer4",
        ),
        (
            lambda rows: rows[rows.pooling != "max"],
            "lacks tiny/layer3 max n_train 4 of selection seed 0 and 2 more",
        ),
        (
            lambda rows: rows[rows.n_train != 8],
            "lacks tiny/layer3 max n_train 8 of selection seed 0 and 1 more",
        ),
        (
            lambda rows: rows.drop(columns="cv_ap"),
            "lacks the columns cv_ap",
        ),
    ],
)
def test_files_that_do_not_fit_the_study_are_refused(files, edit, message):
    with pytest.raises(ValueError, match=message):
        files.read(edit(layer_rows()))


def test_a_file_that_is_named_twice_is_refused(files):
    with pytest.raises(ValueError, match="18 rows of the ceiling files repeat others"):
        files.read(layer_rows(), layer_rows())
