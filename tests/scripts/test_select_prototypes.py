import os
import runpy
from dataclasses import asdict, replace

import h5py
import numpy as np
import pandas as pd
import pytest
from hdf5_files import edited

from vitproto.core.hdf5_file import open_hdf5, open_new, write_attributes, write_strings
from vitproto.core.project import PROJECT
from vitproto.data.image_list import write_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.study.family import ScoredFamily
from vitproto.study.run import Run
from vitproto.traits.average_precision import average_precision
from vitproto.traits.chance import expected_ap
from vitproto.traits.chosen_scores import open_chosen

STAGE = PROJECT / "scripts" / "select_prototypes.py"
select_prototypes = runpy.run_path(str(STAGE))["select_prototypes"]
COLUMNS = (
    "study,dataset,encoder,layer,method,n_prototypes,learning_rate,sparsity,seed,n_alive,selection_seed,n_train,trait,"
    "prototype,train_ap,test_ap,prevalence,chance"
)
N_IMAGES, TRAITS = 90, ["red wing", "has_tail::long, forked", "no bird has it"]
PLACE = {"dataset": "toy", "encoder": "tiny", "layer": 3, "method": "random"}
FAMILY = ScoredFamily(fit_dataset="corpus", **PLACE)
RUNS = ("k16-seed0", "k8-seed1", "k8-seed0")
REMEDY = "delete it and score the images again"


class Study:
    """Files on which prototype 3 fires where trait 0 is, and 5 where trait 1 is."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.paths = {
            "scores": folder / "scores.h5",
            "splits": folder / "splits.csv",
            "traits": folder / "traits.npz",
            "ap": folder / "family/ap.csv",
            "chosen": folder / "family/chosen_scores.h5",
        }
        self.ids = [f"{i:04}" for i in range(N_IMAGES)]
        self.splits = ["train" if i % 3 else "test" for i in range(N_IMAGES)]
        self.labels_NT = rng.random((N_IMAGES, 3)) < (0.4, 0.3, 0)
        self.known_NT = np.ones((N_IMAGES, 3), bool)
        self.answers_NT = None
        self.runs = {}
        for name, k in (("k16-seed0", 16), ("k8-seed1", 8), ("k8-seed0", 8)):
            scores_NK = rng.standard_normal((N_IMAGES, k), dtype=np.float32)
            scores_NK[:, [3, 5]] += 10 * self.labels_NT[:, :2]
            self.runs[name] = scores_NK
        self.scored_ids = list(self.ids)

    def write(self):
        images = pd.DataFrame(
            {
                "image_id": self.ids,
                "split": self.splits,
                "class_name": "bird",
            }
        )
        write_splits(images, self.paths["splits"])
        labels_NT = self.labels_NT & self.known_NT
        labels = TraitLabels(
            *(list(self.ids), TRAITS, labels_NT, self.known_NT, self.answers_NT)
        )
        labels.save(self.paths["traits"])
        with open_new(self.paths["scores"]) as file:
            made_of = {"activations": '{"encoder": "tiny"}', "code": "abc"}
            write_attributes(file, {**asdict(FAMILY), **made_of})
            write_attributes(file, {"n_images": len(self.scored_ids)})
            write_strings(file, "image_ids", self.scored_ids)
            for name, scores_NK in self.runs.items():
                file[f"{name}/scores_NK"] = scores_NK
                made_by = {"checkpoint_sha256": f"of {name}"}
                write_attributes(file[f"{name}/scores_NK"], made_by)

    def select(self, n_train=(16, "all"), selection_seeds=(0, 1)):
        self.write()
        return self.select_written(n_train=n_train, selection_seeds=selection_seeds)

    def select_written(self, **changes):
        arguments = {
            "n_train": (16, "all"),
            "selection_seeds": (0, 1),
            "study": "small",
            "runs": RUNS,
            "family": FAMILY,
        }
        select_prototypes(**self.paths, **(arguments | changes))
        return pd.read_csv(self.paths["ap"])


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_planted_prototypes_are_found_again_on_every_subset(study):
    # On fewer images other prototypes would be as good.
    ap = study.select(n_train=(40, "all"))
    assert ",".join(ap.columns) == COLUMNS
    # 3 runs × (2 seeds of 40 images + all 60) × 3 traits
    assert len(ap) == 3 * 3 * 3
    assert ap.groupby("n_train")["selection_seed"].unique().map(list).to_dict() == {
        40: [0, 1],
        60: [0],
    }
    for trait, prototype in (("red wing", 3), ("has_tail::long, forked", 5)):
        rows = ap[ap["trait"] == trait]
        assert (rows["prototype"] == prototype).all()
        assert (rows["train_ap"] > 0.999).all()
        assert (rows["test_ap"] > 0.999).all()
    test = np.array(study.splits) == "test"
    assert ap["prevalence"][:3].tolist() == study.labels_NT[test].mean(axis=0).tolist()
    for column, value in {"study": "small", **PLACE}.items():
        assert (ap[column] == value).all()


def test_a_trait_that_no_image_shows_is_neither_chosen_nor_scored(study):
    rows = study.select()[lambda ap: ap["trait"] == "no bird has it"]
    assert rows[["prototype", "train_ap", "test_ap", "chance"]].isna().all(axis=None)
    assert (rows["prevalence"] == 0).all()


def test_unknown_labels_are_left_out_of_ap_prevalence_and_chance(study):
    """Planted: on unknown images the scores are wrong, which must not matter."""
    rng = np.random.default_rng(3)
    study.known_NT = rng.random((N_IMAGES, 3)) < 0.7
    for scores_NK in study.runs.values():
        scores_NK[:, [3, 5]] += 20 * ~study.known_NT[:, :2] * ~study.labels_NT[:, :2]
    ap = study.select(n_train=(40, "all"))
    found = ap[ap["trait"] != "no bird has it"]
    assert (found["test_ap"] > 0.999).all()
    assert (found["train_ap"] > 0.999).all()
    test = np.array(study.splits) == "test"
    n_known_T = study.known_NT[test].sum(axis=0)
    n_shown_T = (study.labels_NT & study.known_NT)[test].sum(axis=0)
    assert ap["prevalence"][:3].tolist() == (n_shown_T / n_known_T).tolist()
    np.testing.assert_array_equal(ap["chance"][:3], expected_ap(n_known_T, n_shown_T))
    study.known_NT[:] = True
    assert (study.select(n_train=("all",))["test_ap"] < 0.999).any()


def test_runs_are_numbered_by_their_names_and_sorted(study):
    ap = study.select()
    runs = ap[["n_prototypes", "seed"]].drop_duplicates().to_numpy().tolist()
    assert runs == [[8, 0], [8, 1], [16, 0]]


def test_the_same_files_give_the_same_bytes(study):
    study.select()
    written = [study.paths[name] for name in ("ap", "chosen")]
    first = [path.read_bytes() for path in written]
    study.select()
    assert [path.read_bytes() for path in written] == first


def test_more_training_images_than_there_are_is_refused_by_name(study):
    with pytest.raises(ValueError, match=r"61 images, there are 60 .*n_train"):
        study.select(n_train=(16, 61))
    assert not study.paths["ap"].exists()


def test_labels_that_praise_blind_prototypes_stop_the_run(study):
    study.labels_NT[:, :2] = True
    study.answers_NT = np.zeros(study.labels_NT.shape, np.uint8)
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
    assert not study.paths["ap"].exists()
    assert not study.paths["chosen"].exists()


def test_scores_without_a_run_stop(study):
    study.runs = {}
    with pytest.raises(ValueError, match="lacks k16-seed0 and 2 more"):
        study.select()


def rows_of(ap, run):
    return ap[(ap["n_prototypes"] == run.n_prototypes) & (ap["seed"] == run.seed)]


def test_test_ap_follows_from_the_chosen_scores_alone(study):
    """And so does whatever else is asked about the chosen prototypes."""
    rng = np.random.default_rng(1)
    study.labels_NT[:, 2] = rng.random(N_IMAGES) < 0.06  # some subsets do not show it
    for scores_NK in study.runs.values():
        scores_NK[:] = rng.standard_normal(scores_NK.shape)
    ap = study.select(n_train=(4, 16, "all"), selection_seeds=(0, 1, 2))
    assert ap["prototype"].isna().any()
    study.paths["scores"].unlink()
    labels = TraitLabels.load(study.paths["traits"])
    is_test_N = np.array(study.splits) == "test"
    n_checked = 0
    with open_chosen(study.paths["chosen"], FAMILY, RUNS) as chosen:
        assert chosen.image_ids == labels.image_ids
        for run in chosen.runs:
            rows = rows_of(ap, run)
            scores_NM = chosen.scores_of(rows)
            for (_, row), scores_N in zip(rows.iterrows(), scores_NM.T, strict=True):
                shows_N = labels.labels_NT[:, TRAITS.index(row["trait"])]
                pair = scores_N[is_test_N, None], shows_N[is_test_N, None]
                column = "prevalence" if pd.isna(row["prototype"]) else "test_ap"
                assert average_precision(*pair)[0, 0] == pytest.approx(
                    row[column], abs=1e-12
                )
                n_checked += 1
    assert n_checked == len(ap) == 3 * 7 * 3


def test_chosen_scores_are_those_of_all_bit_for_bit_and_say_whose_they_are(study):
    ap = study.select()
    with open_hdf5(study.paths["chosen"], "no scores", "delete it") as file:
        assert set(file.names()) == {"image_ids", *RUNS}
        attributes = file.attributes()
        assert {name: attributes[name] for name in asdict(FAMILY)} == asdict(FAMILY)
        assert attributes["activations"] == '{"encoder": "tiny"}'
        assert attributes["n_images"] == N_IMAGES
        for name in RUNS:
            prototypes_C = file.values(f"{name}/prototypes_C")
            scores_NC = file.values(f"{name}/scores_NC")
            rows = rows_of(ap, Run.parse(name))
            expected = sorted(rows["prototype"].dropna().astype(int).unique())
            assert prototypes_C.tolist() == expected
            assert prototypes_C.dtype == np.int64
            assert scores_NC.dtype == np.float32
            made_by = file.attributes(f"{name}/scores_NC")
            assert made_by == {"checkpoint_sha256": f"of {name}"}
            assert (scores_NC == study.runs[name][:, prototypes_C]).all()


def test_each_table_of_scores_is_read_once(study, monkeypatch):
    study.write()
    read, getitem = [], h5py.Dataset.__getitem__

    def noted(dataset, key):
        read.append(dataset.name)
        return getitem(dataset, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", noted)
    study.select_written()
    tables = [name for name in read if name.endswith("scores_NK")]
    assert sorted(tables) == sorted(f"/{name}/scores_NK" for name in RUNS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"family": replace(FAMILY, dataset="cub200")},
            "says dataset toy, expected da",
        ),
        (
            {"family": replace(FAMILY, layer=7, method="pca")},
            "it says layer 3, method random, expected layer 7, method pca",
        ),
        (
            {"family": replace(FAMILY, fit_dataset="x")},
            "says fit_dataset corpus, expec",
        ),
        ({"runs": RUNS[1:]}, "holds k16-seed0, which should not be there"),
        ({"runs": (*RUNS, "k2-seed0")}, "lacks k2-seed0"),
    ],
)
def test_the_scores_of_another_family_or_of_other_runs_are_refused(
    study, change, message
):
    study.write()
    with pytest.raises(ValueError, match=rf"scores\.h5 .*{message}.*: {REMEDY}"):
        study.select_written(**change)
    assert not study.paths["ap"].exists()
    assert not study.paths["chosen"].exists()


def damage(path, how):
    """Break a file of scores."""
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "no HDF5":
        path.write_text("image_id,score\n")
    elif how == "gone":
        path.unlink()
    else:
        with edited(path) as file:
            if how == "no ids":
                del file["image_ids"]
            elif how == "no attributes":
                for name in list(file.attrs):
                    del file.attrs[name]
            elif how == "no table":
                for name in file["k8-seed1"]:
                    del file["k8-seed1"][name]
            elif how == "stray":
                file["notes"] = "mine"
            elif how == "fewer images":
                ids = file["image_ids"][:-1]
                del file["image_ids"]
                file["image_ids"] = ids


DAMAGES = ["truncated", "no HDF5", "gone", "no ids", "no attributes", "no table"]
DAMAGES += ["stray", "fewer images"]


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_scores_are_named_in_one_sentence(study, how):
    study.write()
    damage(study.paths["scores"], how)
    message = rf"/scores\.h5 is damaged or not a file .*: {REMEDY}"
    if how == "gone":
        message = r"there is no .*/scores\.h5: run the stage that makes it"
    with pytest.raises(ValueError, match=message):
        study.select_written()
    assert not study.paths["ap"].exists()


def test_scores_of_another_shape_or_type_are_refused(study):
    study.runs["k8-seed1"] = study.runs["k8-seed1"][:, :7]
    with pytest.raises(
        ValueError, match=r"k8-seed1 is float32 of shape \(90, 7\), exp"
    ):
        study.select()
    study.runs["k8-seed1"] = np.zeros((N_IMAGES, 8))
    with pytest.raises(ValueError, match="k8-seed1 is float64 of shape"):
        study.select()


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_chosen_scores_are_named_in_one_sentence(study, how):
    ap = study.select()
    path = study.paths["chosen"]
    damage(path, how)
    message = r"chosen_scores\.h5 is damaged or not a file .*: delete it and select p"
    if how == "gone":
        message = r"there is no .*/chosen_scores\.h5: run the stage that makes it"

    def read_all():
        with open_chosen(path, FAMILY, RUNS) as chosen:
            chosen.scores_of(ap.query("n_prototypes == 8 and seed == 1"))

    with pytest.raises(ValueError, match=message):
        read_all()


def test_rows_that_the_chosen_scores_are_not_of_are_refused(study):
    ap = study.select()
    with open_chosen(study.paths["chosen"], FAMILY, RUNS) as chosen:
        with pytest.raises(ValueError, match="rows of one run, got those of 3"):
            chosen.scores_of(ap)
        rows = ap.query("n_prototypes == 16")
        with pytest.raises(ValueError, match=r"toy tiny 3 random, not of .* pca k16"):
            chosen.scores_of(rows.assign(method="pca"))
        with pytest.raises(ValueError, match="lacks prototype 15 of k16-seed0"):
            chosen.scores_of(rows.assign(prototype=15))
    other = replace(FAMILY, method="pca")
    with (
        pytest.raises(ValueError, match="says method random, expected method pca"),
        open_chosen(study.paths["chosen"], other, RUNS),
    ):
        pass
