"""Edits suppress what they should, and controls are as long, for each patch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from autoencoders import normal, random_autoencoder
from hypothesis import given, settings
from hypothesis import strategies as st

from vitproto.segmentation.suppression.edits import (
    CONTROLS,
    N_NEAREST,
    Activity,
    SuppressionSettings,
    class_edits,
)

S, D, C = 40, 24, 6
CFG = SuppressionSettings(doses=(0.0, -2.0, 0.4), n_draws=3, seed=0)
LATENTS_OF = {1: [4, 7], 2: [8, 9, 10], 3: [7], 5: [20, 21], 6: [30]}


def activity(seed=0):
    rng = np.random.default_rng(seed)
    is_active_S = rng.random(S) < 0.8
    is_active_S[[4, 7, 8, 9, 10, 20, 21, 30]] = True
    n_active_S = np.where(is_active_S, rng.integers(1, 5000, S), 0)
    return Activity(n_active_S, np.where(is_active_S, rng.uniform(1, 9, S), 0.0))


def edits_of(label, latents_of=LATENTS_OF, autoencoder=None, cfg=CFG, **changes):
    given_ = {
        "autoencoder": autoencoder or random_autoencoder(S, D),
        "activity": activity(),
        "direction_D": normal(7, D),
        "n_classes": C,
        "cfg": cfg,
    }
    return class_edits(label, latents_of, **{**given_, **changes})


def built(edits, latents_PJ):
    """Every edit in full: lengths as they should be, and e, K × O × P × D."""
    length_OP, coefficients_KOPJ = edits.sized(latents_PJ)
    directions = edits.directions_KJD.double()[:, None]
    return length_OP, coefficients_KOPJ.double() @ directions


def test_one_patch_by_hand():
    # Two latents along the first two axes; the norm is 2.
    sae = random_autoencoder(
        3, 3, W_dec_SD=torch.eye(3), norm=2.0, mean_D=torch.zeros(3)
    )
    edits = class_edits(
        1,
        {1: [0, 1]},
        sae,
        Activity(np.ones(3, int), np.array([3.0, 1.0, 1.0])),
        torch.tensor([0.0, 3.0, 4.0]),
        1,
        SuppressionSettings(doses=(0.0, -2.0, 0.5), n_draws=1, seed=0),
    )
    assert edits.kinds_K == (
        "latents",
        "random_latents",
        "frequent_latents",
        "random_directions",
        "class_direction",
    )
    length_OP, e_KOPD = built(edits, torch.tensor([[1.5, 2.0]]))
    # Set to zero: 2 · (-1.5, -2). Set to -6 and -2: 2 · (-7.5, -4). Halved: half.
    assert length_OP.flatten().tolist() == pytest.approx([5.0, 17.0, 2.5])
    assert e_KOPD[0, :, 0].tolist() == [[-3, -4, 0], [-15, -8, 0], [-1.5, -2, 0]]
    # Only the third latent is left to draw: twice, and turned against it.
    assert e_KOPD[1, 0, 0].tolist() == pytest.approx([0, 0, -5])
    assert e_KOPD[2, 0, 0].tolist() == pytest.approx([0, 0, -5])
    assert e_KOPD[-1, 0, 0].tolist() == pytest.approx([0, -3, -4])


@settings(max_examples=40, deadline=None)
@given(
    label=st.sampled_from([1, 2, 3, 5, 6]),
    seed=st.integers(0, 999),
    doses=st.lists(
        st.floats(-5, 0.99).map(lambda x: round(x, 2)),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    scale=st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_every_control_edits_each_patch_by_the_length_of_the_edit(
    label, seed, doses, scale
):
    cfg = replace(CFG, doses=tuple(doses), seed=seed)
    sae = random_autoencoder(S, D, seed, norm=scale)
    edits = edits_of(label, autoencoder=sae, cfg=cfg)
    latents_PJ = (5 * normal(seed, 30, len(LATENTS_OF[label]))).clamp(min=0)
    length_OP, e_KOPD = built(edits, latents_PJ)
    own_OP = e_KOPD[0].norm(dim=-1)
    # Where directions nearly cancel, float32 keeps fewer digits of what is left.
    close = {"rtol": 1e-5, "atol": 1e-5 * float(length_OP.max())}
    np.testing.assert_allclose(length_OP, own_OP, **close)
    for e_OPD in e_KOPD[1:]:
        np.testing.assert_allclose(e_OPD.norm(dim=-1), length_OP, **close)
    assert set(edits.kinds_K) == {"latents", *CONTROLS}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), label=st.sampled_from([1, 2, 5]))
def test_what_the_autoencoder_leaves_unexplained_stays(seed, label):
    sae = random_autoencoder(S, D, seed)
    edits = edits_of(label, autoencoder=sae)
    x_PD = 3 * normal(seed + 50, 30, D) + sae.mean_D
    f_PS = sae(x_PD)
    own = LATENTS_OF[label]
    _, e_KOPD = built(edits, f_PS[:, own])
    for o, dose in enumerate(CFG.doses):
        set_PS = f_PS.clone()
        if dose > 0:
            set_PS[:, own] *= dose
        else:
            set_PS[:, own] = torch.tensor(dose * activity().largest_S[own]).float()
        wanted_PD = sae.decode(set_PS) + (x_PD - sae.decode(f_PS))
        np.testing.assert_allclose(x_PD + e_KOPD[0, o], wanted_PD, atol=2e-4)


def test_where_no_latent_is_active_zero_changes_nothing_at_all():
    edits = edits_of(1)
    latents_PJ = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    length_OP, coefficients_KOPJ = edits.sized(latents_PJ)
    assert length_OP[0, 0] == 0
    assert (coefficients_KOPJ[:, 0, 0] == 0).all()
    # CFG's doses: to zero, below zero, and to a share of the value.
    assert (length_OP[:, 0] > 0).tolist() == [False, True, False]
    assert (length_OP[:, 1] > 0).all()


def test_where_the_directions_of_a_control_cancel_the_first_one_is_taken():
    # Whatever is drawn, the rows are v and -v, and both coefficients are equal.
    v_D = normal(0, D)
    W_dec_SD = torch.stack([normal(1, D), normal(2, D), v_D, -v_D])
    sae = random_autoencoder(4, D, W_dec_SD=W_dec_SD, norm=1.0)
    of_ones = Activity(np.ones(4, int), np.ones(4))
    edits = edits_of(1, {1: [0, 1]}, sae, activity=of_ones)
    length_OP, e_KOPD = built(edits, torch.zeros(5, 2))
    k = edits.draws_of("random_latents")
    np.testing.assert_allclose(e_KOPD[k].norm(dim=-1), length_OP.expand(3, -1, -1))
    cosine = torch.cosine_similarity(e_KOPD[k][:, 1], v_D.double(), dim=-1)
    np.testing.assert_allclose(cosine.abs(), 1)


def test_edits_that_cancel_have_no_length_and_nor_have_controls():
    W_dec_SD = torch.stack([normal(1, D), -normal(1, D), normal(2, D), normal(3, D)])
    sae = random_autoencoder(4, D, W_dec_SD=W_dec_SD, norm=1.0)
    of_ones = Activity(np.ones(4, int), np.ones(4))
    edits = edits_of(1, {1: [0, 1]}, sae, activity=of_ones)
    length_OP, coefficients_KOPJ = edits.sized(torch.full((3, 2), 0.25))
    assert (length_OP == 0).all()
    assert (coefficients_KOPJ[1:] == 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), label=st.sampled_from([1, 2, 3, 5, 6]))
def test_random_latents_are_active_ones_that_are_not_the_class_s_own(seed, label):
    # Row s of the decoder is the axis s: directions tell which latents were drawn.
    sae = random_autoencoder(S, S, W_dec_SD=torch.eye(S), norm=1.0)
    cfg = replace(CFG, seed=seed)
    edits = edits_of(label, autoencoder=sae, cfg=cfg, direction_D=normal(1, S))
    own, active_S = LATENTS_OF[label], activity().is_active_S
    for k in edits.draws_of("random_latents"):
        drawn = edits.directions_KJD[k].argmax(dim=1).tolist()
        assert not set(drawn) & set(own)
        assert len(set(drawn)) == len(own)
        assert active_S[drawn].all()
    of_others = [LATENTS_OF[other] for other in LATENTS_OF if other != label]
    of_others = [
        np.resize(left, len(own)).tolist()
        for latents in of_others
        if (left := [i for i in latents if i not in own])
    ]
    for k in edits.draws_of("other_class"):
        drawn = edits.directions_KJD[k].argmax(dim=1).tolist()
        assert any(
            drawn == np.resize(latents, len(own)).tolist()
            for latents in of_others
            if latents
        )


def test_frequent_latents_are_active_about_as_often_as_those_of_the_class():
    # Latent s is active s + 1 times, so the nearest in ratio are its neighbours.
    n_latents = 200
    sae = random_autoencoder(
        n_latents, n_latents, W_dec_SD=torch.eye(n_latents), norm=1.0
    )
    counts = Activity(np.arange(1, n_latents + 1), np.ones(n_latents))
    edits = class_edits(
        *(1, {1: [30, 150]}, sae, counts, normal(1, n_latents), 1),
        replace(CFG, n_draws=40),
    )
    drawn_KJ = edits.directions_KJD[edits.draws_of("frequent_latents")].argmax(dim=2)
    for j, own in enumerate([30, 150]):
        free = [s for s in range(n_latents) if s not in (30, 150)]
        ratio = {s: abs(np.log((s + 1) / (own + 1))) for s in free}
        nearest = sorted(free, key=ratio.get)[:N_NEAREST]
        assert set(drawn_KJ[:, j].tolist()) <= set(nearest)
        assert len(set(drawn_KJ[:, j].tolist())) > 15
    # The plain random latents come from everywhere.
    plain_KJ = edits.directions_KJD[edits.draws_of("random_latents")].argmax(dim=2)
    assert plain_KJ.max() - plain_KJ.min() > 150


def test_draws_of_a_class_stay_when_other_classes_are_absent():
    every = edits_of(2)
    without = {label: LATENTS_OF[label] for label in (1, 2)}
    few = edits_of(2, without)
    for edit in ("latents", "random_latents", "random_directions", "class_direction"):
        torch.testing.assert_close(
            every.directions_KJD[every.draws_of(edit)],
            few.directions_KJD[few.draws_of(edit)],
            rtol=0,
            atol=0,
        )
    # Other classes are drawn in an order that is fixed: who is left comes as before.
    assert len(few.draws_of("other_class")) == 1
    drawn = [every.directions_KJD[k] for k in every.draws_of("other_class")]
    untouched = {label: LATENTS_OF[label] for label in (1, 2, 3, 5)}
    kept = edits_of(2, untouched)
    again = [kept.directions_KJD[k] for k in kept.draws_of("other_class")]
    both = [any(torch.equal(one, other) for other in drawn) for one in again]
    assert sum(both) >= 2


def test_draws_are_distinct_and_depend_on_seed_and_class():
    one, other = edits_of(1), edits_of(1, cfg=replace(CFG, seed=1))
    k = one.draws_of("random_directions")
    assert len({row.tobytes() for row in one.directions_KJD[k].numpy()}) == 3
    assert not torch.equal(one.directions_KJD[k], other.directions_KJD[k])
    again = edits_of(1)
    assert torch.equal(one.directions_KJD, again.directions_KJD)


def test_latents_that_two_classes_share_are_no_control_of_either():
    # All of class 3's latents are class 1's too, so it cannot be another class to it.
    edits = edits_of(1, {1: [4, 7], 3: [7]})
    assert edits.draws_of("other_class") == []


@pytest.mark.parametrize("direction", [0.0, float("nan")])
def test_a_class_without_a_direction_has_no_ceiling(direction):
    edits = edits_of(1, direction_D=torch.full((D,), direction))
    assert edits.draws_of("class_direction") == []
    length_OP, e_KOPD = built(edits, torch.ones(3, 2))
    assert e_KOPD.isfinite().all()
    np.testing.assert_allclose(
        e_KOPD.norm(dim=-1), length_OP.expand(len(e_KOPD), -1, -1), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"doses": ()}, r"doses is \(\): write a list of different numbers"),
        ({"doses": (0.5, 0.5)}, "doses is .*: write a list of different numbers"),
        ({"doses": (0.0, 1.0)}, "doses is .*: write a list of different numbers below"),
        ({"doses": (-float("inf"),)}, "doses is .*inf.*: write a list of different nu"),
        ({"n_draws": 0}, "n_draws is 0: write a whole number of at least 1"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(CFG, **wrong)
