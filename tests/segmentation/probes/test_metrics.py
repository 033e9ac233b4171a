"""IoU and accuracy are what scikit-learn says of the pixels themselves."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    jaccard_score,
    recall_score,
)

from vitproto.segmentation.probes.metrics import Counts


def counts_of(true_X, predicted_X, n_classes):
    """Counts of labelled pixels; label 0 is none."""
    table_CC = confusion_matrix(
        true_X[true_X > 0], predicted_X[true_X > 0], labels=range(1, n_classes + 1)
    )
    return Counts(table_CC.sum(1), table_CC.sum(0), np.diag(table_CC))


def test_three_classes_by_hand():
    # Class 2 is never predicted, class 3 is predicted though no mask shows it.
    counts = Counts(np.array([6, 2, 0]), np.array([5, 0, 3]), np.array([4, 0, 0]))
    np.testing.assert_allclose(counts.iou_C, [4 / 7, 0, np.nan])
    np.testing.assert_allclose(counts.accuracy_C, [4 / 6, 0, np.nan])
    assert float(counts.miou) == pytest.approx(2 / 7)
    assert float(counts.pixel_accuracy) == 0.5


def test_without_labelled_pixels_nothing_is_defined():
    nothing_C = np.zeros(4, np.int64)
    counts = Counts(nothing_C, nothing_C, nothing_C)
    assert np.isnan(counts.miou)
    assert np.isnan(counts.pixel_accuracy)
    assert np.isnan(counts.iou_C).all()


@given(
    n_classes=st.integers(2, 8), n_pixels=st.integers(1, 60), seed=st.integers(0, 999)
)
@settings(max_examples=100, deadline=None)
def test_metrics_are_those_of_scikit_learn(n_classes, n_pixels, seed):
    rng = np.random.default_rng(seed)
    true_X = rng.integers(0, n_classes + 1, n_pixels)
    true_X[0] = 1
    predicted_X = np.where(
        rng.random(n_pixels) < 0.5, true_X, rng.integers(1, n_classes + 1, n_pixels)
    )
    counts = counts_of(true_X, predicted_X, n_classes)
    labels = {"labels": range(1, n_classes + 1), "average": None, "zero_division": 0}
    is_labelled_X = true_X > 0
    truth, predicted = true_X[is_labelled_X], predicted_X[is_labelled_X]
    shown_C = np.isin(range(1, n_classes + 1), truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        iou_C = jaccard_score(truth, predicted, **labels)
        accuracy_C = recall_score(truth, predicted, **labels)
    np.testing.assert_allclose(counts.iou_C[shown_C], iou_C[shown_C])
    np.testing.assert_allclose(counts.accuracy_C[shown_C], accuracy_C[shown_C])
    assert np.isnan(counts.iou_C[~shown_C]).all()
    assert np.isnan(counts.accuracy_C[~shown_C]).all()
    assert float(counts.miou) == pytest.approx(iou_C[shown_C].mean())
    assert float(counts.pixel_accuracy) == pytest.approx(
        accuracy_score(truth, predicted)
    )


def test_leading_axes_are_broadcast_and_worked_out_one_by_one():
    rng = np.random.default_rng(0)
    hit_RGC = rng.integers(0, 5, (3, 4, 6))
    predicted_RGC = hit_RGC + rng.integers(0, 3, hit_RGC.shape)
    true_R1C = rng.integers(5, 9, (3, 1, 6))
    true_R1C[1, 0, 2] = hit_RGC[1, :, 2] = 0
    many = Counts(true_R1C, predicted_RGC, hit_RGC)
    for r in range(3):
        for g in range(4):
            one = Counts(true_R1C[r, 0], predicted_RGC[r, g], hit_RGC[r, g])
            np.testing.assert_array_equal(many.iou_C[r, g], one.iou_C)
            assert many.miou[r, g] == pytest.approx(float(one.miou))
            assert many.pixel_accuracy[r, g] == float(one.pixel_accuracy)
    assert many.accuracy_C.shape == (3, 4, 6)
