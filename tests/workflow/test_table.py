"""A folder of photographs and a spreadsheet: to the table, and what an edit reruns."""

import csv
import re

import numpy as np
import pandas as pd
import yaml
from study_copy import PROJECT, copy_project, snakemake

from vitproto.data.cub200_images import read_images
from vitproto.data.cub200_traits import read_traits
from vitproto.data.label_rule import LabelRule
from vitproto.demo.write_birds import DemoBirds, write_demo_birds

TABLE = ("results/mine/map_table.md", "--configfile", "mine.yaml")
N_TRAITS = 6


def write_study(workdir):
    """Drawn birds as photographs with a table of a biologist's traits."""
    drawn = workdir / "drawn"
    birds = DemoBirds(n_species=4, n_images_per_species=10, image_size=64, seed=0)
    write_demo_birds(drawn, birds, n_workers=1)
    listed = read_images(drawn)
    labels = read_traits(drawn, LabelRule(present=(3, 4), unknown=()))
    shown_T = labels.labels_NT.sum(0)
    often = np.argsort(-np.minimum(shown_T, 40 - shown_T), kind="stable")[:N_TRAITS]
    photos = workdir / "my photos"
    photos.mkdir()
    rows = []
    for i, path in enumerate(listed["path"]):
        name = f"bird {i:02d}.jpg"
        (drawn / path).rename(photos / name)
        cells = ["1" if labels.labels_NT[i, t] else "0" for t in often]
        cells[0] = "" if i == 3 else cells[0]
        size = "large" if labels.labels_NT[i, often[1]] else "small"
        rows.append([name, listed["class_name"][i] + str(i % 5), *cells, size])
    names = [labels.trait_names[t] for t in often]
    with (workdir / "traits.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([["image", "group", *names, "size"], *rows])
    study = yaml.safe_load((PROJECT / "tests/workflow/micro.yaml").read_text())
    study |= {"study": "mine", "dataset": "photos", "fit_dataset": "photos"}
    table = {"file": "traits.csv", "test_share": 0.5, "seed": 0}
    study["datasets"] = {
        "photos": {
            "layout": "table",
            "root": "my photos",
            "table": table,
            "n_images": 40,
            "n_shards": 2,
        }
    }
    (workdir / "mine.yaml").write_text(yaml.safe_dump(study))
    return names


def edit_cell(workdir, line, column, text):
    path = workdir / "traits.csv"
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    cells = lines[line - 1].split(";")
    cells[column] = text
    lines[line - 1] = ";".join(cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def test_a_folder_and_a_spreadsheet_end_in_a_table_and_pages(tmp_path):
    workdir = copy_project(tmp_path)
    names = write_study(workdir)
    edit_cell(workdir, 5, 3, "12,5")
    shown = snakemake(workdir, *TABLE)
    assert shown.returncode != 0
    assert f"column '{names[1]}' holds numbers: '12,5' on line 5" in shown.stdout
    assert not list(workdir.glob("results/activations/**/*.h5"))

    edit_cell(workdir, 5, 3, "0")
    shown = snakemake(workdir, "all", *TABLE[1:])
    assert shown.returncode == 0, shown.stdout
    ap = pd.read_csv(workdir / "results/mine/tiny-vit/layer3/kmeans/ap.csv")
    assert sorted(ap["trait"]) == sorted([*names, "size::large", "size::small"])
    splits = pd.read_csv(workdir / "results/data/photos.splits.csv")
    assert (splits.groupby("class_name")["split"].nunique() == 1).all()
    assert splits["split"].value_counts().min() >= 16
    page = (workdir / "results/mine/traits/index.html").read_text()
    assert "size::<wbr>" in page or "size::large" in page
    assert "certainty" not in (workdir / "results/mine/map_table.md").read_text()

    # A corrected label moves no image once the table says the split, and reruns what is
    # made of labels, but nothing that reads activations except the pages of traits.
    path = workdir / "traits.csv"
    split_of = dict(zip(splits["image_id"], splits["split"], strict=True))
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = [f"{line};{split_of.get(line.split(';')[0], 'split')}" for line in lines]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    shown = snakemake(workdir, "all", *TABLE[1:])
    assert shown.returncode == 0, shown.stdout
    ran = set(re.findall(r"^(?:local)?rule (\w+):", shown.stdout, re.M))
    assert ran == {"list_table", "read_trait_table"}, ran  # they came out the same
    edit_cell(workdir, 2, 2, "0" if rows[1].split(";")[2] == "1" else "1")
    shown = snakemake(workdir, "all", *TABLE[1:])
    assert shown.returncode == 0, shown.stdout
    ran = set(re.findall(r"^(?:local)?rule (\w+):", shown.stdout, re.M))
    assert {"read_trait_table", "select_prototypes", "tabulate_map"} < ran
    assert not {"record_activations", "fit_kmeans", "score_images"} & ran
