"""Predictions for every pixel are those of logits that torch has upsampled."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import with_threads

from vitproto.segmentation.probes import pixels
from vitproto.segmentation.probes.pixels import (
    count_pixels,
    count_pixels_on,
    predict_pixels,
    true_C,
)


def upsampled(logits_PC, grid, patch_side):
    """Logits of every pixel, classes first, in float64."""
    logits_1CRS = torch.from_numpy(logits_PC).double().T.unflatten(1, grid)[None]
    shape = (grid[0] * patch_side, grid[1] * patch_side)
    return torch.nn.functional.interpolate(
        logits_1CRS, shape, mode="bilinear", align_corners=False
    )[0].numpy()


def draw(seed, n_edits, grid, patch_side, n_classes, kind="normal"):
    """Logits, and a mask in which a tenth of the pixels is unlabelled."""
    rng = np.random.default_rng(seed)
    n_patches = grid[0] * grid[1]
    logits_EPC = rng.standard_normal((n_edits, n_patches, n_classes)) * 3
    if kind == "clear":  # one class stands out in most patches
        winner_P = rng.integers(0, n_classes, n_patches)
        logits_EPC[:, np.arange(n_patches), winner_P] += 12
    mask_HW = rng.integers(
        0, n_classes + 1, (grid[0] * patch_side, grid[1] * patch_side)
    )
    return logits_EPC.astype("f4"), mask_HW.astype("u2")


def test_a_grid_of_two_by_two_by_hand():
    # Class 1 has the logits 0 4 / 0 4, class 2 has 1 everywhere. Patches are 2 pixels
    # wide: along a row class 1 has 0, 1, 3, 4. At the tie the lower class wins.
    logits_PC = np.array([[0, 1], [4, 1], [0, 1], [4, 1]], "f4")
    expected = np.tile([2, 1, 1, 1], (4, 1))
    assert predict_pixels(logits_PC, (2, 2), 2).tolist() == expected.tolist()
    mask_HW = np.array(
        [[2, 2, 2, 2], [1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.uint16
    )
    found = count_pixels(logits_PC[None], mask_HW, (2, 2))
    # Of ten labelled pixels, those of the first column's two are class 2.
    assert found.predicted_EC.tolist() == [[8, 2]]
    assert found.hit_EC.tolist() == [[5, 1]]
    assert true_C(mask_HW, 3).tolist() == [6, 4, 0]


shapes = st.fixed_dictionaries(
    {
        "grid": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "patch_side": st.integers(1, 18),
        "n_classes": st.integers(1, 40),
        "kind": st.sampled_from(["normal", "clear"]),
    }
)


@given(shape=shapes, seed=st.integers(0, 999))
@settings(max_examples=150, deadline=None)
def test_every_pixel_has_the_class_that_torch_upsamples_highest(shape, seed):
    (logits_PC,), _ = draw(seed, 1, **shape)
    grid, patch_side = shape["grid"], shape["patch_side"]
    label_HW = predict_pixels(logits_PC, grid, patch_side)
    logits_CHW = upsampled(logits_PC, grid, patch_side)
    best_HW = logits_CHW.max(axis=0)
    own_HW = np.take_along_axis(logits_CHW, label_HW[None].astype("i8") - 1, 0)[0]
    # Where the two best are nearly equal, either may win.
    assert (best_HW - own_HW).max() < 1e-4
    if shape["n_classes"] > 1:
        second_HW = np.sort(logits_CHW, axis=0)[-2]
        clear_HW = best_HW - second_HW > 1e-4
        expected_HW = logits_CHW.argmax(axis=0) + 1
        np.testing.assert_array_equal(label_HW[clear_HW], expected_HW[clear_HW])


@given(shape=shapes, n_edits=st.integers(0, 4), seed=st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_counts_are_those_of_the_predicted_labels(shape, n_edits, seed):
    logits_EPC, mask_HW = draw(seed, n_edits, **shape)
    found = count_pixels(logits_EPC, mask_HW, shape["grid"])
    n_classes = shape["n_classes"]
    for e, logits_PC in enumerate(logits_EPC):
        label_HW = predict_pixels(logits_PC, shape["grid"], shape["patch_side"])
        predicted = label_HW[mask_HW > 0]
        hits = label_HW[label_HW == mask_HW]
        for labels, count_EC in (
            (predicted, found.predicted_EC),
            (hits, found.hit_EC),
        ):
            counted = np.bincount(labels, minlength=n_classes + 1)[1:]
            np.testing.assert_array_equal(counted, count_EC[e])
    assert found.predicted_EC.shape == (n_edits, n_classes)
    np.testing.assert_array_equal(
        true_C(mask_HW, n_classes), [(mask_HW == c + 1).sum() for c in range(n_classes)]
    )


@given(
    shape=shapes,
    n_edits=st.integers(0, 4),
    seed=st.integers(0, 999),
    n_at_once=st.sampled_from([1, 500, 2**20]),
)
@settings(max_examples=60, deadline=None)
def test_torch_counts_the_same_whatever_fits_into_memory(
    shape, n_edits, seed, n_at_once
):
    logits_EPC, mask_HW = draw(seed, n_edits, **shape)
    # Small integers and halves of them are exact in any order of blending.
    logits_EPC = np.round(logits_EPC)
    grid, n_classes = shape["grid"], shape["n_classes"]
    found = count_pixels(logits_EPC, mask_HW, grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "GPU_LOGITS", n_at_once)
        on = count_pixels_on(
            torch.from_numpy(logits_EPC), torch.from_numpy(mask_HW.astype("i8")), grid
        )
    assert on.hit_EC.shape == found.hit_EC.shape
    np.testing.assert_array_equal(on.predicted_EC.sum(1), found.predicted_EC.sum(1))
    # Pixels at which the two best are equal but for rounding may differ.
    n_near = sum(
        near_ties(logits_PC, grid, shape["patch_side"]) for logits_PC in logits_EPC
    )
    assert abs(on.predicted_EC - found.predicted_EC).sum() <= 2 * n_near
    assert abs(on.hit_EC - found.hit_EC).sum() <= 2 * n_near
    if n_classes == 1:
        np.testing.assert_array_equal(on.hit_EC, found.hit_EC)


def near_ties(logits_PC, grid, patch_side):
    logits_CHW = np.sort(upsampled(logits_PC, grid, patch_side), axis=0)
    if len(logits_CHW) == 1:
        return 0
    return int((logits_CHW[-1] - logits_CHW[-2] < 1e-4).sum())


def test_of_equal_classes_the_lowest_wins_everywhere():
    logits_EPC, mask_HW = draw(0, 1, (3, 4), 5, 6)
    logits_EPC[:] = np.maximum(logits_EPC[:, :, :3], 0).repeat(2, axis=2)
    logits_EPC[0, :6] = 1.5
    labels = predict_pixels(logits_EPC[0], (3, 4), 5)
    assert set(np.unique(labels)) <= {1, 3, 5}
    assert (labels[:2] == 1).all()
    on = count_pixels_on(
        torch.from_numpy(logits_EPC), torch.from_numpy(mask_HW.astype("i8")), (3, 4)
    )
    assert on.predicted_EC[0, 1::2].tolist() == [0, 0, 0]


def test_classes_that_cannot_win_by_far_and_by_a_hair_change_nothing():
    # What is left out must be left out rightly, also where rounding decides: all
    # classes within a few units in the last place of each other.
    rng = np.random.default_rng(0)
    base_P1 = rng.standard_normal((20, 1)).astype("f4") * 1000
    steps_PC = rng.integers(-2, 3, (20, 30))
    logits_PC = (base_P1 + steps_PC * np.spacing(np.abs(base_P1))).astype("f4")
    label_HW = predict_pixels(logits_PC, (4, 5), 7)
    np.testing.assert_array_equal(label_HW, slow_labels(logits_PC, (4, 5), 7))


def slow_labels(logits_PC, grid, side):
    """The kernel's formula, for all classes and pixels, in its order of rounding."""

    def corners(n, n_patches):
        place = (np.arange(n, dtype=np.float64) + 0.5) / side - 0.5
        low = np.floor(place).astype(int)
        weight = (place - low).astype("f4")
        return low.clip(0), (low + 1).clip(max=n_patches - 1), weight

    logits_RSC = logits_PC.reshape(*grid, -1)
    top, bottom, weight_H = corners(grid[0] * side, grid[0])
    left, right, weight_W = corners(grid[1] * side, grid[1])
    above, below = logits_RSC[top], logits_RSC[bottom]
    rows_HSC = above + weight_H[:, None, None] * (below - above)
    lefts, rights = rows_HSC[:, left], rows_HSC[:, right]
    value_HWC = lefts + weight_W[:, None] * (rights - lefts)
    assert value_HWC.dtype == np.float32
    return value_HWC.argmax(axis=2) + 1


@given(shape=shapes, seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_leaving_classes_out_changes_no_bit(shape, seed):
    (logits_PC,), _ = draw(seed, 1, **shape)
    logits_PC = np.round(logits_PC * 2) / 2  # many ties
    np.testing.assert_array_equal(
        predict_pixels(logits_PC, shape["grid"], shape["patch_side"]),
        slow_labels(logits_PC, shape["grid"], shape["patch_side"]),
    )


def test_unlabelled_pixels_are_not_counted():
    logits_EPC, mask_HW = draw(0, 3, (3, 3), 8, 5)
    all_true = count_pixels(logits_EPC, np.maximum(mask_HW, 1), (3, 3))
    some_true = count_pixels(logits_EPC, mask_HW, (3, 3))
    nothing = count_pixels(logits_EPC, np.zeros_like(mask_HW), (3, 3))
    assert all_true.predicted_EC.sum(1).tolist() == [24 * 24] * 3
    assert some_true.predicted_EC.sum(1).tolist() == [(mask_HW > 0).sum()] * 3
    assert nothing.predicted_EC.sum() == nothing.hit_EC.sum() == 0


def test_labels_go_up_to_65535():
    logits_PC = np.zeros((1, 65_535), "f4")
    logits_PC[0, -1] = 1
    mask_HW = np.full((2, 2), 65_535, np.uint16)
    assert predict_pixels(logits_PC, (1, 1), 2).tolist() == mask_HW.tolist()
    assert count_pixels(logits_PC[None], mask_HW, (1, 1)).hit_EC[0, -1] == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_refused(value):
    logits_EPC, mask_HW = draw(0, 2, (2, 2), 4, 3)
    logits_EPC[1, 2, 1] = value
    with pytest.raises(ValueError, match="a logit is infinite or NaN"):
        count_pixels(logits_EPC, mask_HW, (2, 2))
    with pytest.raises(ValueError, match="a logit is infinite or NaN"):
        predict_pixels(logits_EPC[1], (2, 2), 4)


def test_the_number_of_threads_and_the_memory_order_change_no_count():
    logits_EPC, mask_HW = draw(3, 4, (4, 4), 16, 20, "clear")
    fortran_EPC = np.asfortranarray(logits_EPC)
    found = [
        with_threads(n, lambda x=x: count_pixels(x, mask_HW, (4, 4)))
        for n, x in ((1, logits_EPC), (2, fortran_EPC))
    ]
    np.testing.assert_array_equal(found[0].hit_EC, found[1].hit_EC)
    np.testing.assert_array_equal(found[0].predicted_EC, found[1].predicted_EC)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_counts_what_the_cpu_counts():
    logits_EPC, mask_HW = draw(1, 5, (16, 16), 16, 150, "clear")
    mask = torch.from_numpy(mask_HW.astype("i8")).cuda()
    on = count_pixels_on(torch.from_numpy(logits_EPC).cuda(), mask, (16, 16))
    found = count_pixels(logits_EPC, mask_HW, (16, 16))
    n_near = sum(near_ties(logits_PC, (16, 16), 16) for logits_PC in logits_EPC)
    assert abs(on.predicted_EC - found.predicted_EC).sum() <= 2 * n_near
    assert abs(on.hit_EC - found.hit_EC).sum() <= 2 * n_near
