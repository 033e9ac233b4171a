import runpy
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from vitproto.data.image_list import write_splits
from vitproto.data.trait_labels import TraitLabels

STAGE = Path(__file__).parents[2] / "scripts" / "select_prototypes.py"
select_prototypes = runpy.run_path(str(STAGE))["select_prototypes"]
COLUMNS = (
    "dataset,encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_alive,selection_seed,n_train,trait,"
    "prototype,train_ap,test_ap,prevalence"
)
N_IMAGES, TRAITS = 90, ["red wing", "has_tail::long, forked", "no bird has it"]
FAMILY = {"dataset": "toy", "encoder": "tiny", "layer": 3, "method": "random"}


class Study:
    """Files on which prototype 3 fires where trait 0 is, and 5 where trait 1 is."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.paths = {
            "scores": folder / "scores.h5",
            "splits": folder / "splits.csv",
            "traits": folder / "traits.npz",
            "out": folder / "family/ap.csv",
        }
        self.ids = [f"{i:04}" for i in range(N_IMAGES)]
        self.splits = ["train" if i % 3 else "test" for i in range(N_IMAGES)]
        self.labels_NT = rng.random((N_IMAGES, 3)) < (0.4, 0.3, 0)
        self.runs = {}
        for name, k in (("k16-seed0", 16), ("k8-seed1", 8), ("k8-seed0", 8)):
            scores_NK = rng.standard_normal((N_IMAGES, k), dtype=np.float32)
            scores_NK[:, [3, 5]] += 10 * self.labels_NT[:, :2]
            self.runs[name] = scores_NK
        self.scored_ids = list(self.ids)

    def select(self, n_train=(16, "all"), selection_seeds=(0, 1)):
        images = pd.DataFrame(
            {
                "image_id": self.ids,
                "split": self.splits,
                "class_name": "bird",
            }
        )
        write_splits(images, self.paths["splits"])
        TraitLabels(list(self.ids), TRAITS, self.labels_NT).save(self.paths["traits"])
        with h5py.File(self.paths["scores"], "w") as file:
            file.create_dataset(
                "image_ids", data=self.scored_ids, dtype=h5py.string_dtype()
            )
            for name, scores_NK in self.runs.items():
                file[f"{name}/scores_NK"] = scores_NK
        select_prototypes(
            **self.paths, **FAMILY, n_train=n_train, selection_seeds=selection_seeds
        )
        return pd.read_csv(self.paths["out"])


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_planted_prototypes_are_found_again_on_every_subset(study):
    ap = study.select()
    assert ",".join(ap.columns) == COLUMNS
    # 3 runs × (2 seeds of 16 images + all 60) × 3 traits
    assert len(ap) == 3 * 3 * 3
    assert ap.groupby("n_train")["selection_seed"].unique().map(list).to_dict() == {
        16: [0, 1],
        60: [0],
    }
    for trait, prototype in (("red wing", 3), ("has_tail::long, forked", 5)):
        rows = ap[ap["trait"] == trait]
        assert (rows["prototype"] == prototype).all()
        assert (rows["train_ap"] > 0.999).all()
        assert (rows["test_ap"] > 0.999).all()
    test = np.array(study.splits) == "test"
    assert ap["prevalence"][:3].tolist() == study.labels_NT[test].mean(axis=0).tolist()
    for column, value in FAMILY.items():
        assert (ap[column] == value).all()


def test_a_trait_that_no_image_shows_is_neither_chosen_nor_scored(study):
    rows = study.select()[lambda ap: ap["trait"] == "no bird has it"]
    assert rows[["prototype", "train_ap", "test_ap"]].isna().all(axis=None)
    assert (rows["prevalence"] == 0).all()


def test_runs_are_numbered_by_their_names_and_sorted(study):
    ap = study.select()
    runs = ap[["n_prototypes", "seed"]].drop_duplicates().to_numpy().tolist()
    assert runs == [[8, 0], [8, 1], [16, 0]]


def test_the_same_files_give_the_same_bytes(study):
    study.select()
    first = study.paths["out"].read_bytes()
    study.select()
    assert study.paths["out"].read_bytes() == first


def test_more_training_images_than_there_are_is_refused_by_name(study):
    with pytest.raises(ValueError, match=r"61 images, there are 60 .*n_train"):
        study.select(n_train=(16, 61))
    assert not study.paths["out"].exists()


def test_labels_that_praise_blind_prototypes_stop_the_run(study):
    study.labels_NT[:, :2] = True
    with pytest.raises(ValueError, match=r"mAP of 1\.00 on the train labels"):
        study.select()


def test_scores_in_another_order_stop_the_run(study):
    study.scored_ids[4:6] = study.scored_ids[5], study.scored_ids[4]
    with pytest.raises(ValueError, match=r"'0004' is number 5 in .* and 6 in"):
        study.select()


def test_an_image_without_a_score_stops_the_run(study):
    del study.scored_ids[7]
    with pytest.raises(ValueError, match=r"missing in .*scores\.h5, first '0007'"):
        study.select()


def test_a_data_set_without_test_images_stops_the_run(study):
    study.splits = ["train"] * N_IMAGES
    with pytest.raises(ValueError, match="in the test split"):
        study.select()


def test_scores_that_are_not_numbers_stop_the_run(study):
    study.runs["k8-seed0"][2, 6] = np.nan
    with pytest.raises(ValueError, match="prototype 6: NaN has no rank"):
        study.select()
    assert not study.paths["out"].exists()


def test_scores_without_a_run_stop(study):
    study.runs = {}
    with pytest.raises(ValueError, match="holds no run"):
        study.select()
