import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from vitproto.traits.ridge import fit_ridge

REGULARISATIONS = (1e-3, 1.0, 300.0)


def planted(n_images, width):
    rng = np.random.default_rng(0)
    mixing_DD = rng.standard_normal((width, width))
    x_ND = 5 + rng.standard_normal((n_images + 20, width)) @ mixing_DD
    x_ND[:, 1] = 0.1  # a constant, which float64 means of float32 values may miss
    x_ND = x_ND.astype(np.float32)
    target_NT = rng.random((n_images, 3)) < (0.3, 0.1, 0.5)
    return x_ND[:n_images], x_ND[n_images:], target_NT.astype(np.float64)


@pytest.mark.parametrize(("n_images", "width"), [(60, 12), (12, 60), (30, 30)])
def test_predictions_are_those_of_scikit_learn(n_images, width):
    x_ND, x_MD, target_NT = planted(n_images, width)
    path = fit_ridge(torch.from_numpy(x_ND), torch.from_numpy(target_NT))
    found_LMT = path.predict(torch.from_numpy(x_MD), REGULARISATIONS)
    assert found_LMT.dtype == torch.float32
    scaler = StandardScaler().fit(x_ND.astype(np.float64))
    z_ND, z_MD = scaler.transform(x_ND), scaler.transform(x_MD)
    z_ND[:, 1] = z_MD[:, 1] = 0
    for regularisation, found_MT in zip(REGULARISATIONS, found_LMT, strict=True):
        # scikit-learn adds the penalty to the sum over images, not to their mean.
        ridge = Ridge(alpha=regularisation * n_images, solver="svd")
        expected_MT = ridge.fit(z_ND, target_NT).predict(z_MD)
        np.testing.assert_allclose(found_MT, expected_MT, rtol=1e-6, atol=1e-6)


def test_two_images_by_hand():
    # z = ±1, y - mean = ±0.5: w = (0.5 + 0.5) / (2 + 2 × 1) = 0.25, so 0.5 ± 0.25.
    path = fit_ridge(
        torch.tensor([[3.0], [7.0]]), torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    )
    predicted_LMT = path.predict(torch.tensor([[3.0], [7.0], [5.0]]), (1.0,))
    assert predicted_LMT[0, :, 0].tolist() == pytest.approx([0.25, 0.75, 0.5])
