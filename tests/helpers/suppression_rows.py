"""Files of the segmentation study with plausible numbers, for tests that show them."""

import numpy as np
import pandas as pd

from vitproto.report.segmentation.suppression_rows import (
    COMPARISON_COLUMNS,
    SUMMARY_COLUMNS,
    ExpectedSaes,
    SuppressionFiles,
)

EDITS = (
    "latents",
    "random_latents",
    "frequent_latents",
    "random_directions",
    "other_class",
    "class_direction",
)
CONTROLS = EDITS[1:-1]
CLASSES = {
    1: "wall",
    2: "building, edifice",
    3: "sky",
    4: "floor",
    5: "tree",
    6: "bed",
    7: "lamp",
    8: "clock",
}
MEASURES = [
    "edit_norm",
    *(
        f"{who}{what}_{when}"
        for who in ("", "others_")
        for what in ("iou", "accuracy")
        for when in ("before", "after")
    ),
    "changed_class",
    "changed_others",
    *(
        f"{name}{end}"
        for name in ("loss", "collateral", "specificity", "margin")
        for end in ("", "_low", "_high")
    ),
]
PLACE = {
    "encoder": "tiny",
    "probe_layer": 10,
    "layer": 10,
    "method": "topk",
    "run": "k512-seed0",
}
COLUMNS = [
    *PLACE,
    *("label", "class_name", "edit", "dose", "n_draws", "latents", "n_images"),
    *MEASURES,
    "note",
]


EXPECTED = ExpectedSaes(
    sae_families=("tiny/layer10/topk:k512-seed0",),
    probe_layer=10,
    doses=(0.0, -1.0, -2.0, -4.0),
    controls=("untrained",),
)
"""What `plausible` gives."""


def row(label, edit, dose=-2.0, specificity=None, *, name=None, **known):
    """A row of suppression.csv: all but a little follows from the specificity."""
    values = dict.fromkeys(MEASURES, "") | {
        **PLACE,
        "label": label,
        "class_name": name or CLASSES[label],
        "edit": edit,
        "dose": dose,
        "n_draws": 1 if edit in ("latents", "class_direction") else 5,
        "latents": "",
        "n_images": 20,
        "note": "",
    }
    if specificity is not None:
        loss = specificity + 0.01
        values |= {
            "edit_norm": 0.2,
            "iou_before": 0.8,
            "iou_after": 0.8 - loss,
            "accuracy_before": 0.9,
            "accuracy_after": 0.9 - loss,
            "others_iou_before": 0.5,
            "others_iou_after": 0.49,
            "others_accuracy_before": 0.6,
            "others_accuracy_after": 0.59,
            "changed_class": max(loss, 0.0),
            "changed_others": 0.02,
            **around("loss", loss),
            **around("collateral", 0.01),
            **around("specificity", specificity),
        }
    return values | known


def around(name, value, half=0.03):
    """A number with an interval of this half width; nothing around nothing."""
    if value == "":
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), "")
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def latent_row(label, latent, rank=0, *, name=None, ap=0.75, note="", **known):
    """A row of class_latents.csv."""
    has = latent != ""
    return {
        "label": label,
        "class_name": name or CLASSES[label],
        "n_patches": 100 if has else 0,
        "criterion": "ap" if has else "",
        "rank": rank if has else "",
        "latent": latent,
        "ap": ap if has else "",
        "f1": 0.7 if has else "",
        "threshold": 0.5 if has else "",
        "alignment": 0.25 if has else "",
        "prevalence": 0.05 if has else "",
        "is_chosen": has,
        "note": note,
    } | known


def change_row(label, to_label, share, dose=-2.0):
    return {
        **PLACE,
        "label": label,
        "dose": dose,
        "to_label": to_label,
        "share": share,
        "n_patches": round(100 * share),
    }


def write_sae(folder, name, rows, latents, changes=(), **place):
    """The three files of an SAE; gives their paths. `place` is where it differs."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for what, table, columns in (
        ("suppression", rows, COLUMNS),
        ("class_latents", latents, list(latents[0])),
        (
            *("changes", changes),
            [*PLACE, "label", "dose", "to_label", "share", "n_patches"],
        ),
    ):
        files.append(folder / f"{name}.{what}.csv")
        written = pd.DataFrame(list(table), columns=columns)
        if what != "class_latents":
            written = written.assign(**place)
        written.to_csv(files[-1], index=False)
    return tuple(files)


def files_of(*saes, means=(), compared=()):
    """The files of some SAEs, each from `write_sae`, with means and comparisons."""
    folder = saes[0][0].parent
    paths = folder / "means.csv", folder / "compared.csv"
    for path, rows, columns in zip(
        paths, (means, compared), (SUMMARY_COLUMNS, COMPARISON_COLUMNS), strict=True
    ):
        pd.DataFrame(list(rows), columns=list(columns)).to_csv(path, index=False)
    return SuppressionFiles(*zip(*saes, strict=True), *paths)


def mean_row(edit, at="length", **known):
    """A row of suppression_table.csv: means over twelve classes."""
    return {
        **PLACE,
        **{"edit": edit, "at": at, "is_main": True, "length": 0.25},
        **{"n_classes": 12, "n_unjudged": 0, "n_unreached": 0},
        **{"n_half": 6, "n_gone": 0},
        **around("loss", 0.5),
        **around("collateral", 0.1),
        **around("specificity", 0.4),
        "n_compared": 0 if edit == "latents" else 12,
    } | known


def means(
    own=0.4, ceiling=0.6, margins=(0.2, 0.2, 0.2, 0.2), half=0.05, p=None, **known
):
    """Rows of an SAE: what its latents reach, and their margins over controls.

    The p-value of a margin is 0.01 if its interval excludes 0, unless it is given.
    """
    rows = [mean_row("latents", **around("specificity", own), **known)]
    for edit, margin in zip(CONTROLS, margins, strict=True):
        measures = around("specificity", own - margin) | around("margin", margin)
        counts = {"win_rate": 0.75, "n_above": 1, "n_below": 0}
        counts["margin_p"] = (0.01 if abs(margin) > 0.03 else 0.5) if p is None else p
        rows.append(mean_row(edit, **measures, **counts, **known))
    top = around("specificity", ceiling) | around("margin", own - ceiling)
    rows.append(mean_row("class_direction", **top, **known))
    at_half = {"at": "half", **around("loss", 0.5), **around("collateral", half)}
    rows.append(mean_row("latents", **at_half, **known))
    # The rest of the curve, which no table shows.
    longer = {"is_main": False, "length": 0.5}
    return rows + [mean_row(edit, **(known | longer)) for edit in EDITS]


NO_NET = dict.fromkeys(("net_lead", "net_lead_low", "net_lead_high"), "")


def compared_row(lead=0.1, at="length", p=0.01, half=0.05, **known):
    """A row of suppression_comparison.csv."""
    return {
        **PLACE,
        **{"at": at, "is_main": True, "length": 0.25 if at == "length" else ""},
        **{"n_controls": 1, "n_classes": 12, "n_unreached": 0, "n_gone": 0},
        "n_before_first": 0,
        **around("lead", lead, half),
        **{"p": p, "n_more": 9, "n_less": 3},
        **(around("net_lead", lead, half) if at == "length" else NO_NET),
        "net_p": p if at == "length" else "",
    } | known


def plausible(seed=0, doses=(0.0, -1.0, -2.0, -4.0), classes=None, strength=1.0):
    """Rows, latents and changes of a study in which latents matter by `strength`.

    The class 7 is in no validation image, 8 has no latent, 6 is never predicted.
    """
    rng = np.random.default_rng(seed)
    classes = classes or CLASSES
    reach = {
        "latents": 0.6 * strength,
        "random_latents": 0.06,
        "frequent_latents": 0.07,
        "random_directions": 0.02,
        "other_class": 0.1,
        "class_direction": 0.9,
    }
    missing = {7: "not in the validation images", 8: "its latents are never active"}
    rows, latents, changes = [], [], []
    for label, name in classes.items():
        chosen = rng.choice(512, size=3, replace=False)
        for rank, latent in enumerate(chosen):
            if label == 8:
                note = "no training patch of purity ≥ 0.9"
                latents += [latent_row(8, "", name=name, note=note)][: rank == 0]
                continue
            ap = 0.9 / (rank + 1) + 0.05 * rng.random()
            known = {"alignment": rng.normal(0.2, 0.1), "ap": ap, "name": name}
            latents.append(latent_row(label, latent, rank, **known))
        before = 0.0 if label == 6 else rng.uniform(0.3, 0.9)
        ease = rng.uniform(0.5, 1)
        for dose in doses:
            force = 1 - np.exp(-(0.3 + abs(dose)) / 2)
            own = None
            for edit in EDITS:
                if label in missing:
                    if edit == "latents":
                        note = missing[label]
                        rows.append(row(label, edit, dose, name=name, note=note))
                    continue
                loss = before * min(reach[edit] * ease * force * 1.1, 1)
                collateral = 0.06 * force * rng.random()
                known = {
                    "iou_before": before,
                    "iou_after": before - loss,
                    "others_iou_before": 0.55,
                    "others_iou_after": 0.55 - collateral,
                    "edit_norm": 0.1 + 0.2 * abs(dose),
                    **around("loss", loss, 0.1 * loss),
                    **around("collateral", collateral, 0.01),
                    "changed_others": 0.5 * collateral,
                    "name": name,
                }
                specificity = loss - collateral
                if edit == "latents":
                    own = specificity
                    known["latents"] = " ".join(map(str, chosen))
                else:
                    known |= around("margin", own - specificity, 0.05)
                if label == 6:
                    known["note"] = "the probe never predicts it"
                rows.append(row(label, edit, dose, specificity, **known))
            if label not in missing and label != 6:
                others = [other for other in classes if other != label][:4]
                shares = rng.dirichlet([1] * len(others))
                changes += [
                    change_row(label, other, share, dose)
                    for other, share in zip(others, shares, strict=True)
                ]
    return rows, latents, changes


PROBES = """\
learning_rate,weight_decay,loss,held_out_miou,miou,pixel_accuracy,is_best
0.01,1e-05,0.91,0.43,0.41,0.75,False
0.001,0.1,0.52,0.55,0.5,0.8,True
0.001,1e-05,0.53,0.54,0.51,0.79,False
0.01,0.1,0.9,0.44,0.42,0.76,False
"""
BASELINE = """\
label,class_name,n_images,n_pixels,n_predicted,iou,accuracy,note
3,sky,0,0,12,,,not in the validation images
1,wall,20,5000,5200,0.75,0.875,
2,"building, edifice",4,600,0,0,0,the probe never predicts it
4,floor,9,1200,1100,0.75,0.8,
"""
"""Three classes that are shown: mIoU is (0.75 + 0 + 0.75) / 3 = 0.5."""


def write_probes(folder):
    """The files of a sweep and of its chosen probe; gives their paths."""
    paths = folder / "probes.csv", folder / "baseline.csv"
    for path, text in zip(paths, (PROBES, BASELINE), strict=True):
        path.write_text(text)
    return paths
