"""`make new`: a study of a folder and a table that can run, or a reason why not."""

import runpy

import pytest
from PIL import Image

from vitproto.core.project import PROJECT
from vitproto.launch.new_study import NewStudy, examine, write_config
from vitproto.study.read_study import read_study

new_study = runpy.run_path(str(PROJECT / "scripts/new_study.py"))["new_study"]
N_IMAGES = 40


@pytest.fixture
def study(tmp_path):
    images = tmp_path / 'my "photos" – # 1'
    images.mkdir()
    rows = ["image,wing,tail::long"]
    for i in range(N_IMAGES):
        Image.new("RGB", (8, 8)).save(images / f"bird {i}.png")
        rows.append(f"bird {i}.png,{'red' if i % 2 else 'blue'},{int(i == 0)}")
    Image.new("RGB", (8, 8)).save(images / "unlisted.png")
    table = tmp_path / "traits.csv"
    table.write_text("\n".join(rows) + "\n")
    return NewStudy("mine", images, table, "tiny-vit")


def test_the_study_passes_all_checks_and_says_what_was_found(study, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    new_study(file, study.images, study.traits, study.encoder)
    said = capsys.readouterr().out
    assert f"{N_IMAGES} images, 20 of them for training, and 3 traits" in said
    assert "; left out: 1 image that the table lacks; " in said
    assert "that shows them: 1 trait, such as tail::long" in said
    config = read_study(file)
    assert config["study"] == config["dataset"] == "mine"
    assert config["datasets"]["mine"]["root"] == str(study.images)
    assert config["datasets"]["mine"]["n_images"] == N_IMAGES
    assert config["selection"]["n_train"] == [16, "all"]
    assert {row["layer"] for row in config["runs"]} == {3}
    assert len(file.read_text().splitlines()) <= 40


def test_every_encoder_of_the_presets_can_be_named(study, tmp_path):
    for preset in sorted((PROJECT / "config/presets/encoders").glob("*.yaml")):
        chosen = study._replace(encoder=preset.stem)
        file = tmp_path / f"{preset.stem}.yaml"
        file.write_text(write_config(chosen, examine(chosen)))
        assert read_study(file)["encoders"].keys() == {preset.stem}


def test_nothing_is_written_where_something_is_wrong(study, tmp_path):
    file = tmp_path / "mine.yaml"
    with pytest.raises(ValueError, match="no encoder 'vit': write bioclip-vit-b16, "):
        new_study(file, study.images, study.traits, "vit")
    with pytest.raises(ValueError, match="is not a folder: write IMAGES=FOLDER"):
        new_study(file, tmp_path / "none", study.traits, "tiny-vit")
    study.traits.write_text("image,size\nbird 0.png,1.5\n")
    with pytest.raises(ValueError, match="column 'size' holds numbers"):
        new_study(file, study.images, study.traits, "tiny-vit")
    assert not file.exists()


def test_k_means_asks_for_no_more_patches_than_there_are(study, tmp_path):
    file = tmp_path / "mine.yaml"
    new_study(file, study.images, study.traits, study.encoder)
    assert read_study(file)["methods"]["kmeans"]["n_sample"] == 20 * 64


def test_the_name_of_another_study_is_refused(study, tmp_path):
    file = tmp_path / "demo_birds.yaml"
    with pytest.raises(ValueError, match="is the study demo_birds already"):
        new_study(file, study.images, study.traits, study.encoder)
    assert not file.exists()


def test_a_name_that_cannot_be_a_study_leaves_no_file(study, tmp_path):
    file = tmp_path / "My Study.yaml"
    with pytest.raises(ValueError, match="cannot be the name of a study"):
        new_study(file, study.images, study.traits, "tiny-vit")
    assert not file.exists()


def test_an_existing_study_is_not_replaced(study, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("study: precious\n")
    with pytest.raises(ValueError, match="exists already"):
        new_study(file, study.images, study.traits, "tiny-vit")
    assert file.read_text() == "study: precious\n"
