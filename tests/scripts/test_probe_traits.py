import runpy
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from hdf5_files import edited

from vitproto.core.hdf5_file import open_new, write_attributes, write_strings
from vitproto.core.project import PROJECT
from vitproto.data.image_list import write_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.traits.average_precision import average_precision
from vitproto.traits.ceiling_scores import open_ceiling_scores
from vitproto.traits.pooled_file import PooledLayer
from vitproto.traits.trait_probes import TraitProbeSettings

STAGE = PROJECT / "scripts/probe_traits.py"
probe_traits = runpy.run_path(str(STAGE))["probe_traits"]
COLUMNS = (
    "study,dataset,encoder,layer,pooling,selection_seed,n_train,trait,regularisation,"
    "cv_ap,train_ap,test_ap,prevalence"
)
BIRDS = PooledLayer("birds", "tiny", 3)
N_IMAGES, TRAITS = 150, ["in the maximum", "in the mean", "rare", "no test bird has it"]
IDS = [f"{i:03}" for i in range(N_IMAGES)]
IS_TRAIN_N = np.arange(N_IMAGES) % 3 > 0


class Study:
    """Files in which trait 0 is linear in one pooling, and trait 1 in the other."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.paths = {
            "pooled": folder / "pooled.h5",
            "splits": folder / "splits.csv",
            "traits": folder / "traits.npz",
            "ceiling": folder / "ceiling.csv",
            "ceiling_scores": folder / "ceiling_scores.h5",
        }
        self.pooled = {
            name: rng.standard_normal((N_IMAGES, 6)).astype(np.float32)
            for name in ("max", "mean")
        }
        self.labels_NT = rng.random((N_IMAGES, 4)) < (0, 0, 0.03, 0.2)
        self.labels_NT[~IS_TRAIN_N, 3] = False
        for t, x_ND in enumerate(self.pooled.values()):
            self.labels_NT[:, t] = x_ND @ np.arange(6) > 5
        self.pooled_ids = list(IDS)

    def write(self):
        split = np.where(IS_TRAIN_N, "train", "test")
        species = [f"species {i % 10}" for i in range(N_IMAGES)]
        images = {"image_id": IDS, "split": split, "class_name": species}
        write_splits(pd.DataFrame(images), self.paths["splits"])
        TraitLabels(
            list(IDS), TRAITS, self.labels_NT, np.ones_like(self.labels_NT)
        ).save(self.paths["traits"])
        with open_new(self.paths["pooled"]) as file:
            write_attributes(file, {**asdict(BIRDS), "n_images": N_IMAGES})
            write_strings(file, "image_ids", self.pooled_ids)
            for name, x_ND in self.pooled.items():
                file[f"{name}_ND"] = x_ND

    def probe(self, **changes):
        self.write()
        arguments = {
            "n_train": (16, "all"),
            "selection_seeds": (0, 1),
            "study": "small",
            "layer": BIRDS,
            "settings": TraitProbeSettings((0.001, 1.0, 100.0), n_folds=4),
        }
        probe_traits(**self.paths, **(arguments | changes))
        return pd.read_csv(self.paths["ceiling"])


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_each_trait_is_found_in_the_pooling_that_has_it(study):
    rows = study.probe()
    assert ",".join(rows.columns) == COLUMNS
    assert len(rows) == 2 * 3 * 4  # poolings, subsets, traits
    assert {*rows.n_train} == {16, 100}
    assert (rows["layer"] == 3).all()
    assert (rows["study"] == "small").all()
    largest = rows[rows.n_train == 100].set_index(["pooling", "trait"])["test_ap"]
    for here, there, trait in (("max", "mean", TRAITS[0]), ("mean", "max", TRAITS[1])):
        assert largest[here, trait] > 0.95
        assert largest[there, trait] < 0.5
    assert rows[rows.trait == TRAITS[3]]["test_ap"].isna().all()


def test_test_ap_follows_from_the_scores(study):
    rows = study.probe()
    assert rows["regularisation"].isna().any()
    test_NT = study.labels_NT[~IS_TRAIN_N]
    with open_ceiling_scores(study.paths["ceiling_scores"], BIRDS) as scores:
        assert scores.image_ids == [IDS[i] for i in np.flatnonzero(~IS_TRAIN_N)]
        assert scores.trait_names == TRAITS
        for subset, own in rows.groupby(["pooling", "n_train", "selection_seed"]):
            scores_MT = scores.read(*subset)
            ap_TT = average_precision(scores_MT, test_NT)
            expected_T = own["test_ap"].to_numpy()
            has_probe_T = own["regularisation"].notna().to_numpy()
            np.testing.assert_allclose(
                ap_TT.diagonal()[has_probe_T], expected_T[has_probe_T], atol=1e-12
            )
            assert (scores_MT[:, own["regularisation"].isna()] == 0).all()


def test_the_same_files_give_the_same_bytes(study):
    written = [study.paths[name] for name in ("ceiling", "ceiling_scores")]
    study.probe()
    first = [path.read_bytes() for path in written]
    study.probe()
    assert [path.read_bytes() for path in written] == first


def test_labels_of_test_images_change_no_probe(study):
    first = study.probe()
    before = study.paths["ceiling_scores"].read_bytes()
    study.labels_NT[~IS_TRAIN_N, :3] = study.labels_NT[~IS_TRAIN_N, :3][::-1]
    again = study.probe()
    assert study.paths["ceiling_scores"].read_bytes() == before
    chosen = ["regularisation", "cv_ap", "train_ap"]
    pd.testing.assert_frame_equal(first[chosen], again[chosen])
    assert (first["test_ap"] != again["test_ap"]).any()


def test_pooled_activations_of_other_images_or_layers_are_refused(study):
    with pytest.raises(ValueError, match=r"layer 3, expected .* layer 7"):
        study.probe(layer=replace(BIRDS, layer=7))
    study.pooled_ids[4:6] = study.pooled_ids[5], study.pooled_ids[4]
    with pytest.raises(ValueError, match=r"'004' is number 5 in .* and 6 in"):
        study.probe()
    assert not study.paths["ceiling"].exists()


def test_scores_of_another_layer_subset_or_shape_are_refused(study):
    study.probe()
    path = study.paths["ceiling_scores"]
    with (
        pytest.raises(ValueError, match=r"ceiling_scores\.h5 holds .* expected"),
        open_ceiling_scores(path, replace(BIRDS, encoder="other")),
    ):
        pass
    with edited(path) as file:
        del file["max/n16-seed1/scores_MT"]
        file["max/n16-seed1/scores_MT"] = np.zeros((50, 3), np.float32)
    with open_ceiling_scores(path, BIRDS) as scores:
        with pytest.raises(ValueError, match="not a file of scores .*open object"):
            scores.read("mean", 17, 0)
        with pytest.raises(ValueError, match=r"shape \(50, 3\), expected .* \(50, 4\)"):
            scores.read("max", 16, 1)
    path.write_text("nothing")
    with (
        pytest.raises(ValueError, match="is damaged or not a file of scores"),
        open_ceiling_scores(path, BIRDS),
    ):
        pass
