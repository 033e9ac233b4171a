"""A study that cannot run is refused in one line that says what to write."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml

from vitproto.core.project import PROJECT
from vitproto.study.check import check_study
from vitproto.study.missing_inputs import missing_inputs
from vitproto.study.read_study import read_study
from vitproto.study.yaml_lines import Lines

SCHEMA = PROJECT / "workflow/schemas/config.schema.yaml"
FREE_NAMES = {
    ("datasets",),
    ("encoders",),
    ("methods", "saes"),
    ("methods", "imported"),
}
STUDIES = sorted((PROJECT / "config").glob("*.yaml"))


SEGMENTATION = read_study(PROJECT / "config/demo_scenes.yaml")["segmentation"]


@pytest.fixture
def demo() -> dict:
    return read_study(PROJECT / "config/demo.yaml")


def refusal(study: dict, files: tuple[Path, ...] = ()) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        check_study(study, SCHEMA, Lines.of_files(files))
    return str(caught.value)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.name)
def test_the_studies_that_come_with_the_project_are_fit_to_run(file):
    check_study(read_study(file), SCHEMA, Lines.of_files([file]))


def test_every_key_of_the_schema_is_used_by_a_study_and_the_other_way_round():
    used = set()

    def note(value, path=()):
        if isinstance(value, dict):
            for key, inner in value.items():
                free_name = path in FREE_NAMES
                name = "*" if free_name else key
                used.add((*path, name))
                note(inner, (*path, name))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                note(item, path)

    for file in STUDIES:
        note(read_study(file))

    known = set()

    def walk(schema, path=()):
        for key, inner in schema.get("properties", {}).items():
            known.add((*path, key))
            walk(inner, (*path, key))
        if isinstance(schema.get("additionalProperties"), dict):
            known.add((*path, "*"))
            walk(schema["additionalProperties"], (*path, "*"))
        if isinstance(schema.get("items"), dict):
            walk(schema["items"], path)

    walk(yaml.safe_load(SCHEMA.read_text()))
    # No study comes with an autoencoder of somebody else, or latents chosen by hand.
    unused = {("methods", "imported", "*"), ("segmentation", "saes", "classes", "*")}
    unused.add(("presets",))  # what they say is in the study by then
    # `make new` writes studies of tables.
    table = ("datasets", "*", "table")
    unused |= {table, *((*table, key) for key in ("file", "test_share", "seed"))}
    assert used == known - unused


def test_an_unknown_key_is_named_with_file_line_and_the_key_that_was_meant(tmp_path):
    text = (PROJECT / "config/demo.yaml").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("fit_dataset:", "fit_datset:"))
    line = 1 + file.read_text().splitlines().index("fit_datset: demo_corpus")
    with pytest.raises(ValueError, match=".") as caught:
        read_study(file)
    message = str(caught.value)
    assert f"{file}:{line}: fit_datset: is not a known key" in message
    assert "did you mean fit_dataset?" in message
    assert "the study: lacks fit_dataset" in message


def test_a_bad_value_of_an_imported_file_is_named_with_file_and_line(tmp_path):
    text = (PROJECT / "config/demo.yaml").read_text()
    scaling = "  imported:\n    theirs:\n      file: x.pt\n      scaling: {norm: -2}\n"
    file = tmp_path / "mine.yaml"
    file.write_text(f"{text}\nmethods:\n{scaling}")
    line = len(file.read_text().splitlines())
    with pytest.raises(ValueError, match=r".") as caught:
        read_study(file)
    expected = f"{file}:{line}: methods.imported.theirs.scaling.norm: -2 is not a numb"
    assert expected in str(caught.value)


def test_a_number_that_yaml_reads_as_text_is_shown_as_it_must_be_written(demo):
    demo["selection"]["seeds"] = yaml.safe_load("[1e1]")
    message = refusal(demo)
    assert message == (
        "selection.seeds.0: '1e1' is not a whole number of at least 0: YAML reads 1e1 "
        "as text, write 10 without quotes"
    )


def test_a_number_read_as_text_in_a_list_that_may_be_one_value_gets_the_same_hint(demo):
    demo["runs"][2]["learning_rate"] = yaml.safe_load("[0.1, 1e-4]")
    hint = "YAML reads 1e-4 as text, write 0.0001 without quotes"
    assert refusal(demo) == (
        f"runs.2.learning_rate.1: '1e-4' is not a number above 0: {hint}"
    )
    demo["runs"][2]["learning_rate"] = yaml.safe_load("1e-4")
    assert refusal(demo).endswith(hint)
    demo["runs"][2]["learning_rate"] = []
    assert "[] is not a number above 0, or a list" in refusal(demo)


def test_a_number_in_quotes_or_inside_braces_on_the_command_line_is_explained(demo):
    demo["how"]["batch_size"] = "64"
    assert refusal(demo).startswith(
        "how.batch_size: '64' is not a whole number of at least 1: quotes make it text"
    )


def test_text_that_yaml_reads_as_a_number_is_to_be_quoted(demo):
    demo["study"] = 2024
    assert refusal(demo).endswith(": YAML reads this as a number, write it in quotes")


def test_problems_come_in_the_order_of_the_numbers_in_their_places(demo):
    demo["runs"] = [{**demo["runs"][0], "seed": -1} for _ in range(11)]
    places = [line.split(":")[0] for line in refusal(demo).splitlines()]
    assert places == [f"runs.{i}.seed" for i in range(11)]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("datasets", "demo_birds", "n_shards"), 0, "0 is not a whole number of at"),
        (
            ("selection", "labels"),
            {"present": [3, 4], "unknown": [1, 4]},
            "selection.labels.unknown: 4 stands in present too: write it in one of",
        ),
        (
            ("selection", "labels", "present"),
            [],
            "[] is not a list of different certainties, from 1 (not visible) to 4",
        ),
        (
            ("selection", "labels", "unknown"),
            [5],
            "5 is not a whole number of at least 1 and",
        ),
        (("selection", "n_resamples"), 10**8, "of at least 100 and up to 100000"),
        (("record", "dtype"), "float8", "'float8' is not float16 or float32"),
        (("how", "device"), "gpu", "'gpu' is not auto, cpu, cuda or cuda:1"),
        (("selection", "n_train"), ["some"], "'some' is not a whole number"),
        (
            ("selection", "seeds"),
            [0, 10**20],
            "seeds.1: 100000000000000000000 is too l",
        ),
        (("methods", "kmeans", "n_sample"), 10**6, "learns from methods.kmeans.n_sam"),
        (("study",), "My Study", "'My Study' is not a name of small letters"),
        (("runs",), [], "[] is not a list of runs"),
        (("datasets",), {"My Birds": {}}, "datasets.My Birds: is not a name of small"),
        (("selection", "seeds"), [1, 1], "[1, 1] is not a list of different seeds"),
        (("dataset",), "cub", "'cub' is not among datasets: write demo_birds, "),
        (("dataset",), "demo_corpus", "has no labels: its layout is not cub200 or tab"),
        (("segmentation",), SEGMENTATION, "is for a data set of layout ade20k, and"),
        (
            ("storage",),
            {"activations": "a", "checkpoints": "c", "weights": "w"},
            "lacks scores, the f",
        ),
        (
            ("datasets", "demo_birds", "draw"),
            {"n_species": 2, "n_training": 2, "image_size": 64, "seed": 0},
            "a data set of layout cub200 needs n_images_per_species: write n_images_p",
        ),
        (("datasets", "demo_birds", "root"), "x", "root (its folder) or draw"),
        (("encoders", "tiny-vit", "layers"), [3, 4], "4 is not a layer of tiny-vit"),
        (("runs", 0, "encoder"), "vit", "'vit' is not among encoders: write tiny-vit"),
        (("runs", 0, "layer"), 4, "tiny-vit records no layer 4: add it to encoders."),
        (("runs", 0, "seed"), [0, 0], "repeats tiny-vit layer 3 random k32-seed0"),
        (
            ("runs", 0, "method"),
            "pca",
            "1 is not a seed of pca, which draws nothing: wr",
        ),
        (("runs", 1, "n_prototypes"), [32, 33], "33 is odd, but pca takes each compon"),
        (("runs", 1, "n_prototypes"), 130, "130 is more than the 128 prototypes that"),
        (("runs", 2, "n_prototypes"), 128, "a run needs n_prototypes, or exp_factor"),
        (("runs", 2, "method"), "pca", "pca has no learning_rate: leave it out, in"),
        (("runs", 3, "sparsity"), 129, "129 is not how many of 128 latents of topk"),
        (("runs", 4, "method"), "topk", "topk needs learning_rate: add it to this row"),
        (
            ("methods", "saes", "relu", "n_prefixes"),
            2,
            "2 does not go with prefixes: n",
        ),
        (
            ("methods", "saes", "topk", "n_sparsity_warmup"),
            9,
            "topk has no weight of s",
        ),
        (("methods", "saes", "untrained", "activation"), "batchtopk", "write topk"),
        (("methods", "saes", "untrained", "activation"), "jumprelu", "write topk"),
        (("methods", "saes", "topk", "bandwidth"), 0.1, "topk learns no thresholds"),
        (("methods", "saes", "topk", "l0_weight"), 1, "topk learns no thresholds"),
        (("methods", "saes", "relu", "n_aux"), 8, "n_aux 8 has no effect with relu"),
        (("methods", "saes", "jumprelu", "bandwidth"), 0, "jumprelu learns no thresh"),
        (
            ("methods", "saes", "jumprelu", "bandwidth"),
            float("inf"),
            "bandwidth: is inf: write a finite number",
        ),
        (
            ("methods", "saes", "topk", "n_lr_decay"),
            500,
            "a warm-up of 50 steps and a decay of 500 do not fit in 292 steps",
        ),
        (("methods", "kmeans", "n_sample"), 511, "512 centres need at least as many"),
        (("features", "runs", 0, "layer"), 2, "layer 2 kmeans is not among runs: wri"),
        (
            ("features", "runs", 0, "run"),
            "k9-seed0",
            "'k9-seed0' is not a run of tiny-vi",
        ),
        (
            ("features", "runs", 1),
            {
                "encoder": "tiny-vit",
                "layer": 3,
                "method": "kmeans",
                "run": "k128-seed0",
            },
            "repeats features.runs.0",
        ),
        (
            ("features", "listed"),
            [5, 128],
            "128 is not a prototype of kmeans k128-seed0",
        ),
        (("features", "log_freq_range"), [-1, -3], "[-1, -3] falls: write [-3, -1]"),
        (("features", "log_value_range"), [1], "[1] is not a list of two numbers"),
        (("runs", 0, "method"), "kmeens", "'kmeens' is not among the methods: w"),
        (
            ("methods", "imported"),
            {"SAE": "x.pt"},
            "SAE: is not a name of small letter",
        ),
        (("methods", "imported"), {"theirs": 1}, "1 is not the path of a file"),
        (
            ("methods", "imported"),
            {"theirs": {"scaling": {"norm": 2}}},
            "theirs: lacks file",
        ),
        (
            ("methods", "imported"),
            {"theirs": {"file": "x.pt", "subtract_bdec": True}},
            "subtract_bdec: is not a known key: did you mean subtract_b_dec_before_enc",
        ),
        (
            ("methods", "imported"),
            {"theirs": {"file": "x.pt", "subtract_b_dec_before_encoding": "no"}},
            "subtract_b_dec_before_encoding: 'no' is not true or false",
        ),
        (
            ("methods", "imported"),
            {"theirs": {"file": "x.pt", "scaling": {"norm": 0}}},
            "theirs.scaling.norm: 0 is not a number above 0",
        ),
        (
            ("methods", "imported"),
            {"theirs": {"file": "x.pt", "scaling": {"mean": [0.1]}}},
            "theirs.scaling.mean: [0.1] is not the path of a file of torch.save",
        ),
        (
            ("methods", "imported"),
            {"theirs": {"file": "x.pt", "scaling": {}}},
            "theirs.scaling: is empty: write mean, norm or both",
        ),
        (
            ("methods", "imported"),
            {"theirs": {"file": "x.safetensors", "scaling": {"norm": 2}}},
            "theirs.scaling: is for a sae.pt, and x.safetensors says itself how",
        ),
        (("methods", "imported"), {"pca": "x.pt"}, "pca is the name of another method"),
        (("methods", "imported"), {"topk": "x.pt"}, "topk is the name of another meth"),
    ],
)
def test_what_cannot_be_meant_is_refused(demo, path, value, message):
    broken = copy.deepcopy(demo)
    section = broken
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    assert message in refusal(broken)
    assert "Traceback" not in refusal(broken)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("segmentation", "encoder"), "vit", "'vit' is not among encoders: write tin"),
        (("segmentation", "layer"), 1, "tiny-vit records no layer 1: add it to enc"),
        (("segmentation", "layer"), 2, "layer 3 comes after the probes' layer 2"),
        (("segmentation", "ranking", "min_purity"), 0, "0 is not a number above 0 and"),
        (("segmentation", "ranking", "chosen_by"), "auc", "'auc' is not ap or f1"),
        (("segmentation", "suppression", "dose"), -3, "-3 is not among doses: add it"),
        (("segmentation", "suppression", "doses"), [-2, -2], "list of different num"),
        (("segmentation", "probes", "learning_rates"), [0], "0 is not a number above"),
        (
            ("segmentation", "saes", 0, "method"),
            "kmeans",
            "'kmeans' is not an autoencoder",
        ),
        (("segmentation", "saes", 0, "run"), "k9-seed0", "'k9-seed0' is not among ru"),
        (
            ("segmentation", "saes", 0, "classes"),
            {3: [512]},
            "512 is not a latent of k51",
        ),
        (
            ("segmentation", "saes", 0, "classes"),
            {0: [5]},
            "0 is not a label: write whole",
        ),
        (("segmentation", "saes", 0, "classes"), {3: []}, "[] is not a list of differ"),
        (("segmentation", "pictures", "classes"), [0], "0 is not a whole number of at"),
        (
            ("selection",),
            {
                "n_train": [16],
                "seeds": [0],
                "n_resamples": 100,
                "n_permutations": 200,
                "labels": {"present": [4], "unknown": []},
                "probes": {"regularisations": [1], "n_folds": 3},
            },
            "selection: is for a data set of layout cub200 or table, and the layout ",
        ),
        (("storage", "scores"), "s", "storage.scores: is for studies with selection"),
        (
            ("datasets", "demo_scenes", "draw", "n_images_per_species"),
            3,
            "a data set of layout ade20k has no use for n_images_per_species: write n",
        ),
    ],
)
def test_what_cannot_be_segmented_is_refused(path, value, message):
    broken = read_study(PROJECT / "config/demo_scenes.yaml")
    section = broken
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    assert message in refusal(broken)


def test_an_autoencoder_is_suppressed_once_and_a_choice_by_hand_is_taken():
    scenes = read_study(PROJECT / "config/demo_scenes.yaml")
    saes = scenes["segmentation"]["saes"]
    saes[0]["classes"] = {3: [5, 511], 15: [0]}
    check_study(scenes, SCHEMA, Lines.of_files([]))
    saes.append({**saes[0], "classes": {}})
    assert f"segmentation.saes.{len(saes) - 1}: repeats another row" in refusal(scenes)


def test_a_study_that_asks_nothing_is_refused(demo):
    del demo["selection"]
    assert "lacks selection, which a data set of layout cub200 is for" in refusal(demo)


def test_all_problems_are_told_at_once(demo):
    demo["record"]["dtype"] = "float8"
    demo["how"]["batch_size"] = "many"
    assert len(refusal(demo).splitlines()) == 2


def test_a_key_that_stands_twice_is_refused(tmp_path, demo):
    file = tmp_path / "twice.yaml"
    file.write_text("study: a\nrecord: {dtype: float16, dtype: float32}\n")
    assert f"{file}:2: record.dtype stands already in line 2" in refusal(demo, (file,))


def test_missing_data_and_weights_name_the_key_to_set(demo, tmp_path):
    demo["datasets"]["cub"] = {"layout": "cub200", "root": str(tmp_path / "cub")}
    demo["encoders"]["a"] = {"model": "local-dir:gone", "weights": "hub"}
    demo["encoders"]["b"] = {"model": "ViT-L-14", "weights": "gone.pt"}
    demo["methods"]["imported"] = {"theirs": str(tmp_path / "sae.pt")}
    datasets, encoders = {"cub", "demo_birds"}, {"a", "b"}
    missing = missing_inputs(demo, datasets, encoders, {"theirs"})
    assert len(missing) == 4
    assert "set datasets: cub: root" in missing[0]
    assert "set encoders: a: model" in missing[1]
    assert "set encoders: b: weights" in missing[2]
    assert missing[3] == (
        f"the imported theirs is not at {tmp_path}/sae.pt: set methods: imported: "
        "theirs to its file"
    )
    demo["methods"]["imported"]["other"] = {
        "file": str(tmp_path / "sae.pt"),
        "scaling": {"mean": str(tmp_path / "mean.pt")},
    }
    assert missing_inputs(demo, set(), set(), {"other"}) == [
        missing[3].replace("theirs", "other"),
        f"the mean that other subtracts is not at {tmp_path}/mean.pt: set methods: "
        "imported: other: scaling: mean to its file",
    ]
    (tmp_path / "cub").mkdir()
    (tmp_path / "sae.pt").touch()
    assert missing_inputs(demo, datasets, set(), {"theirs"}) == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seed": 1}, "1 is not a seed of theirs, which is imported: write 0"),
        ({"learning_rate": 0.1}, "theirs has no learning_rate: leave it out"),
        ({"sparsity": 32}, "theirs has no sparsity: leave it out"),
    ],
)
def test_an_imported_method_has_no_settings_of_a_fit(demo, keys, message):
    demo["methods"]["imported"] = {"theirs": "sae.pt"}
    demo["features"]["runs"] = []
    row = {"encoder": "tiny-vit", "layer": 3, "method": "theirs", "n_prototypes": 128}
    demo["runs"] = [{**row, "seed": 0}]
    check_study(demo, SCHEMA, Lines.of_files([]))
    demo["runs"] = [{**row, "seed": 0, **keys}]
    assert message in refusal(demo)


def test_a_section_that_lacks_several_keys_says_so_once(demo):
    demo["how"] = {}
    lacking = "device, batch_size, most_pixels, save_every_s, tensorboard"
    assert refusal(demo) == f"how: lacks {lacking}"


def test_a_table_belongs_to_a_data_set_of_that_layout_and_to_no_other(demo):
    table = {"file": "traits.csv", "test_share": 0.5, "seed": 0}
    own = {"root": "photos", "n_images": 2000, "n_shards": 1}
    demo["datasets"]["demo_birds"] = {"layout": "table", "table": table, **own}
    check_study(demo, SCHEMA, Lines.of_files([]))
    demo["datasets"]["demo_birds"] = {"layout": "table", **own}
    assert "demo_birds: needs table, the CSV file with its traits" in refusal(demo)
    demo["datasets"]["demo_birds"] = {"layout": "cub200", "table": table, **own}
    assert refusal(demo) == (
        "datasets.demo_birds.table: is for layout table, and the layout is cub200: "
        "leave it out"
    )
    drawn = {"n_species": 2, "n_images_per_species": 4, "image_size": 64, "seed": 0}
    demo["selection"]["n_train"] = ["all"]
    demo["datasets"]["demo_birds"] = {
        **{"layout": "table", "table": table, "draw": drawn, "n_shards": 1}
    }
    assert "demo_birds.draw: draws no data set of layout table" in refusal(demo)
    table["test_share"] = 1.0
    demo["datasets"]["demo_birds"] = {"layout": "table", "table": table, **own}
    assert "test_share: 1.0 is not a number above 0 and below 1" in refusal(demo)


def test_more_training_images_than_a_data_set_has_are_refused(demo):
    demo["selection"]["n_train"] = [16, 2400, "all"]  # 50 species × 48 images
    check_study(demo, SCHEMA, Lines.of_files([]))
    demo["selection"]["n_train"] = [16, 2641, "all"]
    assert refusal(demo) == (
        "selection.n_train.1: is 2641, but demo_birds has 2400 images: write a smaller "
        "number, or all"
    )
    demo["datasets"]["demo_birds"] = {
        **{"layout": "cub200", "root": "birds", "n_images": 100, "n_shards": 1}
    }
    demo["selection"]["n_train"] = [110]  # users say roughly how many they have
    check_study(demo, SCHEMA, Lines.of_files([]))
    demo["selection"]["n_train"] = [111]
    assert "is 111, but demo_birds has 100 images" in refusal(demo)


def test_more_shards_than_images_are_refused(demo):
    demo["datasets"]["demo_corpus"]["n_shards"] = 1201
    check_study(demo, SCHEMA, Lines.of_files([]))  # nearly as many as 40 × 30 images
    demo["datasets"]["demo_corpus"]["n_shards"] = 1321
    assert refusal(demo) == (
        "datasets.demo_corpus.n_shards: is 1321, more than the data set's 1200 images: "
        "lower it"
    )


@pytest.mark.parametrize("key", ["sparsity", "learning_rate", "seed", "exp_factor"])
def test_a_number_of_a_run_that_is_none_is_refused_alone(demo, key):
    (row,) = (i for i, run in enumerate(demo["runs"]) if run["method"] == "relu")
    demo["runs"][row][key] = float("nan")
    assert refusal(demo) == f"runs.{row}.{key}: is nan: write a finite number"


@pytest.mark.parametrize(
    ("shape", "n_prototypes", "complaint"),
    [
        ((3, 64), 3, ""),
        ((3, 64), 4, "n_prototypes: 4 is not how many directions {file} has: write 3"),
        (
            (3, 65),
            3,
            "method: mine has directions of width 65 in {file}, but tiny-vit has width "
            "64: write the encoder that they are of",
        ),
    ],
)
def test_directions_that_do_not_fit_are_refused_before_anything_is_recorded(
    demo, tmp_path, shape, n_prototypes, complaint
):
    file = tmp_path / "mine.npy"
    np.save(file, np.ones(shape))
    demo["methods"]["imported"] = {"mine": str(file)}
    row = {"encoder": "tiny-vit", "layer": 3, "method": "mine", "seed": 0}
    demo["runs"] = [{**row, "n_prototypes": n_prototypes}]
    demo["features"]["runs"] = []
    if not complaint:
        check_study(demo, SCHEMA, Lines.of_files([]))
    else:
        assert refusal(demo) == f"runs.0.{complaint.format(file=file)}"


def test_what_a_file_holds_is_said_once_and_rightly(demo):
    demo["methods"]["imported"] = {
        "a": {"file": "a.pt", "holds": "directions"},
        "b": {"file": "b.npy", "holds": "autoencoder"},
        "c": {"file": "c.csv", "scaling": {"norm": 2}},
        "d": {"file": "d.safetensors", "holds": "directions"},
    }
    assert refusal(demo).splitlines() == [
        "methods.imported.a.file: a.pt is none of .npy, .csv and .safetensors",
        "methods.imported.b.holds: is autoencoder, but b.npy holds directions: leave "
        "it out",
        "methods.imported.c.scaling: is for a sae.pt, and c.csv says itself how it is "
        "read: leave it out",
    ]
