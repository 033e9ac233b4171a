"""What is sent: pages and tables, with the same bytes again, and nothing large."""

import zipfile

import yaml

from vitproto.launch.shared_zip import write_zip

SENT = [
    ".origins/map_table.md.json",
    "index.html",
    "map_table.csv",
    "sae_front.svg",
    "tiny-vit/layer3/topk/features/k8-seed0/00001.png",
    "tiny-vit/layer3/topk/features/k8-seed0/index.html",
    "tiny-vit/layer3/topk/.origins/ap.csv.json",
    "traits/images/000001.jpg",
    "traits/000-wing.html",
]
KEPT = [
    "tiny-vit/layer3/topk/ap.csv",
    "tiny-vit/layer3/topk/chosen_scores.h5",
    "tiny-vit/layer3/topk/.unfinished/log.csv",
    "birds.traits.npz",
    "traits/.snakemake_timestamp",
]


def test_pages_tables_and_notes_are_sent_and_scores_are_not(tmp_path):
    folder = tmp_path / "mine"
    for name in (*SENT, *KEPT):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content of {name}")
    study = {"study": "mine", "dataset": "Vögel"}
    archive = tmp_path / "mine.zip"
    assert write_zip(folder, study, archive) == len(SENT) + 1
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        wanted = sorted(f"mine/{name}" for name in [*SENT, "study.yaml"])
        assert sorted(packed.namelist()) == wanted
        assert packed.read("mine/index.html") == b"content of index.html"
        assert yaml.safe_load(packed.read("mine/study.yaml")) == study
    first = archive.read_bytes()
    (folder / "index.html").touch()
    write_zip(folder, study, archive)
    assert archive.read_bytes() == first
