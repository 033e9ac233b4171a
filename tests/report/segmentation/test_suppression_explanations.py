"""Classes that are left out are named with the reasons."""

from suppression_found import DOSE, SAE, against, read
from suppression_rows import latent_row, row

from vitproto.report.segmentation.suppression_explanations import write_unjudged


def test_a_class_that_another_dose_changes_is_in_the_means(tmp_path):
    rows = [
        row(1, "latents", 0.0, 0.0, latents="1", edit_norm=0.0),
        row(1, "latents", -1.0, 0.3, latents="1"),
    ]
    found = read(tmp_path, rows, [latent_row(1, 1)])
    assert write_unjudged(found, SAE, 0.0) == f"{SAE}: all 1 classes could be judged."


def test_a_class_with_nothing_to_lose_or_without_edit_is_not_judged(tmp_path):
    never = {"iou_before": 0.0, "iou_after": 0.0, "note": "the probe never predicts it"}
    dead = {"edit_norm": 0.0, "note": "its latents are never active"}
    rows = [
        *against(1, 0.4, random_latents=0.1),
        row(2, "latents", DOSE, -0.01, latents="2", **never),
        row(3, "latents", DOSE, 0.0, latents="3", **dead),
        row(4, "latents", DOSE, 0.0, latents="4", iou_before=0.04),
    ]
    assert write_unjudged(read(tmp_path, rows), SAE, DOSE) == (
        f"{SAE}: 3 of 4 classes could not be judged and are left out of all means and "
        "win rates. The probe never predicts it: 2 building. Its latents are never "
        "active: 3 sky. It has next to nothing to lose: 4 floor."
    )
