"""An autoencoder's latents and reconstruction are those of its formula."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder, keep_largest
from vitproto.prototypes.checkpoint import load
from vitproto.prototypes.scorer import Scorer
from vitproto.study.run import Run


def some_autoencoder(threshold=0.0, l0=None, n_latents=30, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return SparseAutoencoder(
        W_enc_SD=normal(n_latents, width),
        b_enc_S=normal(n_latents),
        W_dec_SD=normal(n_latents, width),
        b_dec_D=normal(width),
        mean_D=5 * normal(width),
        norm=2.5,
        threshold_S=torch.as_tensor(threshold).expand(n_latents).clone(),
        l0=l0,
    )


def test_latents_and_reconstruction_worked_out_by_hand():
    sae = SparseAutoencoder(
        W_enc_SD=torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]),
        b_enc_S=torch.tensor([0.0, 0.5, 0.0]),
        W_dec_SD=torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]),
        b_dec_D=torch.tensor([1.0, 0.0]),
        mean_D=torch.tensor([2.0, 4.0]),
        norm=2.0,
        threshold_S=torch.zeros(3),
        l0=None,
    )
    # z = ((8, 6) - (2, 4)) / 2 = (3, 1), and without b_dec (2, 1).
    x_BD = torch.tensor([[8.0, 6.0]])
    assert sae(x_BD).tolist() == [[2.0, 1.5, 0.0]]
    # ẑ = 2 · (1, 0) + 1.5 · (0, 2) + (1, 0) = (3, 3); x̂ = 2 ẑ + (2, 4).
    assert sae.decode(sae(x_BD)).tolist() == [[8.0, 10.0]]
    assert (sae.n_prototypes, sae.width) == (3, 2)
    assert isinstance(sae, Scorer)


EACH = torch.linspace(0, 3, 30)


@pytest.mark.parametrize(
    ("threshold", "l0"), [(0.0, None), (1.5, None), (EACH, None), (0.0, 4)]
)
def test_raw_activations_score_what_scaled_ones_would(threshold, l0):
    sae = some_autoencoder(threshold, l0)
    x_BD = 5 * torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    z_BD = (x_BD.double() - sae.mean_D) / sae.norm
    pre_BS = (z_BD - sae.b_dec_D) @ sae.W_enc_SD.double().T + sae.b_enc_S
    expected_BS = torch.where(pre_BS > threshold, pre_BS, 0.0)
    if l0 is not None:
        bound_B1 = expected_BS.sort(1, descending=True).values[:, l0 - 1 : l0]
        expected_BS[expected_BS < bound_B1] = 0
    torch.testing.assert_close(sae(x_BD).double(), expected_BS, rtol=1e-4, atol=1e-4)
    assert (sae(x_BD) >= 0).all()


def test_topk_keeps_exactly_so_many_where_so_many_are_positive():
    sae = some_autoencoder(l0=6, n_latents=64)
    n_active = (sae(torch.randn(200, 8) * 9) != 0).sum(1)
    assert (n_active == 6).all()


@given(
    rows=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=6, max_size=6),
        min_size=1,
        max_size=5,
    ),
    l0=st.integers(1, 6),
)
@settings(deadline=None)
def test_of_equal_latents_the_first_are_kept(rows, l0):
    kept = torch.tensor(rows)
    keep_largest(kept, l0)
    for row, kept_S in zip(rows, kept.tolist(), strict=True):
        order = sorted(range(6), key=lambda s: (-row[s], s))[:l0]
        assert kept_S == [row[s] if s in order else 0.0 for s in range(6)]


@pytest.mark.parametrize(
    ("threshold", "l0"), [(0.0, None), (1.25, None), (EACH, None), (0.0, 3)]
)
def test_a_checkpoint_is_the_autoencoder_that_was_saved(tmp_path, threshold, l0):
    sae = some_autoencoder(threshold, l0)
    path = tmp_path / "sae.safetensors"
    checkpoint.save(path, sae, {"seed": 0})
    again = load(path)
    x_BD = torch.randn(9, 8)
    assert torch.equal(again(x_BD), sae(x_BD))
    assert torch.equal(again.threshold_S, sae.threshold_S)
    assert (again.l0, again.norm) == (l0, 2.5)
    # A view shared between the two would corrupt both on load.
    assert again.W_enc_SD.data_ptr() != again.W_dec_SD.data_ptr()


def test_settings_decide_the_name_in_a_store_and_a_renamed_file_is_refused(tmp_path):
    run = Run(30, 0, 0.001, 4.0)
    settings = {"seed": 0, "aux_weight": 1 / 32}
    path = checkpoint.stored_at(tmp_path, run, settings)
    assert path.name.startswith("k30-lr0.001-sparsity4-seed0.")
    assert not checkpoint.is_stored(path, settings)
    checkpoint.save(path, some_autoencoder(), settings)
    assert checkpoint.is_stored(path, settings)
    other = {**settings, "aux_weight": 0.5}
    elsewhere = checkpoint.stored_at(tmp_path, run, other)
    assert elsewhere != path
    path.rename(elsewhere)
    with pytest.raises(ValueError, match=r"aux_weight 0.03125, but its name says 0.5"):
        checkpoint.is_stored(elsewhere, other)


def test_norms_and_thresholds_survive_as_they_are():
    sae = some_autoencoder(threshold=math.pi)
    moved = sae.to(torch.device("cpu"))
    assert torch.equal(moved.threshold_S, sae.threshold_S)
    assert moved.norm == 2.5
    assert torch.equal(moved.W_dec_SD, sae.W_dec_SD)
