"""What is said about trained SAEs beside untrained ones."""

import pytest
from suppression_found import LATENTS, SAE, read_several
from suppression_rows import NO_NET, around, compared_row, mean_row

from vitproto.report.segmentation.suppression_answers import write_answers


def answers(folder, compared=(), means=(), others=()):
    """All paragraphs for an SAE, and others that are named by method alone."""
    return write_answers(read_several(folder, compared, means, others))


def test_a_lead_over_the_untrained_control_is_told_first(tmp_path):
    first, second, half, *_ = answers(
        tmp_path,
        [compared_row(0.1), compared_row(0.07, "half", n_classes=11)],
        [
            mean_row("latents", n_half=7),
            mean_row("latents", n_half=2, n_classes=11, method="untrained"),
        ],
        others=("untrained",),
    )
    assert first == (
        f"At equal edit length, the latents of {SAE} (lead 0.100, 95 % interval 0.050 "
        "to 0.150, p = 0.010, 12 classes) are more specific to their class than those "
        "of the untrained control. The lead is the difference in specificity, paired "
        "by class. An edit harms its class also because of the patches that it "
        "changes: less the specificity of random directions of the same length on the "
        f"same patches, the latents of {SAE} (net lead 0.100, 95 % interval 0.050 to "
        "0.150, p = 0.010, 12 classes) are more specific than those of the untrained "
        "control."
    )
    assert second == (
        "Each SAE is a single fit, and one probe reads it: this is about these SAEs, "
        "not about their kinds, and no interval shows what another seed of the SAE or "
        "of the probe would change. In layer 10 the edits are 0.25 times as long as "
        "the activations, a length chosen on the same images. There "
        f"at least half of the IoU is lost by 7 of 12 classes with {SAE} and 2 of 11 "
        "classes with untrained k512-seed0 [control], layer 10."
    )
    assert half == (
        f"Where the class has lost half of its IoU, the others lose less with {LATENTS}"
        " (difference 0.070, 95 % interval 0.020 to 0.120, p = 0.010, 11 classes) than "
        "with those of the untrained control. The difference is the mean loss of the "
        "others with the control minus that with the trained SAE, paired by class."
    )


def test_a_lead_that_only_the_place_of_the_edits_makes_is_said_to_be_nothing(tmp_path):
    net = around("net_lead", 0.01, 0.05) | {"net_p": 0.7}
    first, *_ = answers(tmp_path, [compared_row(**net)])
    assert f"the latents of {SAE} (lead 0.100" in first
    assert "are more specific to their class than those of the untrained con" in first
    assert (
        f"the latents of {SAE} (net lead 0.010, 95 % interval −0.040 to 0.060, p = "
        "0.700, 12 classes) cannot be told apart from those of the untrained control."
    ) in first


def test_net_leads_are_told_length_by_length_too(tmp_path):
    # Ahead, but with a net lead only at the greatest length.
    rows = at_lengths({0.1: 0.1, 0.25: 0.3, 0.5: 0.2})
    for row, net in zip(rows, (-0.1, 0.0, 0.1), strict=True):
        row |= around("net_lead", net, 0.05)
    _, _, text, *_ = answers(tmp_path, rows)
    assert (
        f"{SAE} is ahead of the untrained control from 0.1 to 0.5 (read at 3 lengths; "
        "leads between 0.100 and 0.300), and less random directions of the same length "
        "on the same patches it is ahead of the untrained control at 0.5, is behind "
        "the untrained control at 0.1 and cannot be told apart from the untrained "
        "control at 0.25 (net leads between −0.100 and 0.100)."
    ) in text


def test_lengths_at_which_most_classes_are_gone_are_named(tmp_path):
    rows = at_lengths({0.1: 0.1, 0.25: 0.3, 0.5: 0.2})
    rows[2]["n_gone"] = 11
    _, _, text, *_ = answers(tmp_path, rows)
    assert "from 0.1 to 0.5 (at 0.5, 11 of 12 classes are gone with both SAEs)" in text
    for row in rows:
        row["n_controls"] = 2
    _, _, text, *_ = answers(tmp_path, rows)
    assert "(at 0.5, 11 of 12 classes are gone with all these SAEs)" in text


def test_where_most_saes_have_not_lost_half_that_is_said(tmp_path):
    few = [mean_row("latents", n_half=5), mean_row("latents", at="half")]
    _, second, *_ = answers(tmp_path, [compared_row()], few)
    assert second.endswith(
        f"by 5 of 12 classes with {SAE}. So with most of these SAEs fewer than half of "
        "the classes have lost half of their IoU there, the longest edits that all "
        "classes reach."
    )
    longer = mean_row("latents", is_main=False, length=0.5)
    _, second, *_ = answers(tmp_path, [compared_row()], [*few, longer])
    assert second.endswith(
        "fewer than half of the classes have lost half of their IoU there."
    )
    left_out = mean_row("latents", n_half=5, n_unreached=3)
    _, second, *_ = answers(tmp_path, [compared_row()], [left_out])
    assert second.endswith("half of their IoU there.")
    # Six of twelve are half, but six of fifteen are not.
    left_out = mean_row("latents", n_half=6, n_unreached=3)
    _, second, *_ = answers(tmp_path, [compared_row()], [left_out])
    assert "fewer than half of the classes" in second


@pytest.mark.parametrize(
    ("lead", "p", "words"),
    [
        (0.05, 0.01, "the others lose less with {} (difference 0.050"),
        (-0.05, 0.01, "the others lose more with {} (difference −0.050"),
        (0.05, 0.06, "what the others lose with {} (difference 0.050"),
        (-0.05, 0.06, "what the others lose with {} (difference −0.050"),
    ],
)
def test_at_half_loss_the_others_lose_less_more_or_neither(tmp_path, lead, p, words):
    compared = [compared_row(), compared_row(lead, "half", p, half=0.01)]
    _, _, text, *_ = answers(tmp_path, compared)
    assert words.format(LATENTS) in text
    others = {"lose less", "lose more", "cannot be told apart"}
    (said,) = (other for other in others if other in text)
    expected = "cannot be told apart" if p > 0.05 else words.split(" with")[0][11:]
    assert said == expected


def test_an_sae_of_each_kind_at_half_loss_is_told_with_its_interval(tmp_path):
    compared = [
        compared_row(0.1, "half"),
        compared_row(-0.2, "half", method="relu"),
        compared_row(0.01, "half", 0.4, method="pca", n_unreached=3),
    ]
    _, text, *_ = answers(tmp_path, compared, others=("relu", "pca", "untrained"))
    assert "less with the latents of topk k512-seed0, layer 10 (difference 0.1" in text
    assert "; the others lose more with the latents of relu k512-seed0, lay" in text
    assert "(difference −0.200, 95 % interval −0.250 to −0.150, p = 0.010" in text
    assert "; what the others lose with the latents of pca k512-seed0, layer" in text
    assert "p-values are corrected for these 3 comparisons (Holm)." in text
    assert (
        "Left out because half is never lost with one of the SAEs: 3 classes of pca "
        "k512-seed0, layer 10."
    ) in text


def at_lengths(leads, **known):
    """Rows of the comparison: the main one at 0.25, and others."""
    return [
        compared_row(lead, length=length, is_main=length == 0.25, **known)
        | ({} if length == 0.25 else {"p": ""})
        for length, lead in leads.items()
    ]


def test_the_lengths_at_which_an_sae_is_ahead_behind_or_neither_are_named(tmp_path):
    relu = {"method": "relu", "n_controls": 2, **NO_NET}
    leads = {0.1: 0.1, 0.25: 0.3, 0.5: 0.01, 0.6: 0.06, 1: -0.1, 2: -0.2}
    rows = [
        *at_lengths(leads, **NO_NET),
        *at_lengths({0.1: 0.1, 0.25: 0.3, 0.5: 0.2}, **relu),
    ]
    _, _, text, *_ = answers(tmp_path, rows[::-1], others=("relu", "untrained"))
    assert text == (
        "Length by length, with 95 % intervals that are not corrected for the number "
        "of comparisons, relu k512-seed0, layer 10 is ahead of the untrained controls "
        "(their mean) from 0.1 to 0.5 (read at 3 lengths; leads between 0.100 and "
        f"0.300); {SAE} is ahead of the untrained control from 0.1 to 0.25 and at 0.6, "
        "is behind the untrained control from 1 to 2 and cannot be told apart from the "
        "untrained control at 0.5 (read at 6 lengths; leads between −0.200 and 0.300)."
    )


def test_a_small_lead_is_not_written_as_0(tmp_path):
    first, *_ = answers(tmp_path, [compared_row(0.0004, half=0.0003)])
    assert "(lead 0.0004, 95 % interval 0.0001 to 0.001, p = 0.010" in first


def test_few_classes_have_no_verdict_on_training(tmp_path):
    few = {"n_classes": 9, **dict.fromkeys(("lead_low", "lead_high", "p"), "")}
    compared = [compared_row(**few), compared_row(-0.1, "half", **few)]
    first, _, half, *_ = answers(tmp_path, compared)
    assert first.startswith(
        f"There is no verdict on {SAE} (0.100 over 9 classes): fewer than 10 classes "
        "have no interval. The lead is the difference in specificity"
    )
    assert half.startswith(
        "Where the class has lost half of its IoU, there is no verdict on "
        f"{SAE} (−0.100 over 9 classes): fewer than 10 classes have no interval."
    )
    for text in (first, half):
        for word in ("specific to", "told apart", "lose less", "nan", "corrected"):
            assert word not in text


@pytest.mark.parametrize(
    ("lead", "p", "words"),
    [
        (0.1, 0.06, "cannot be told apart from those of the untrained control."),
        (-0.1, 0.01, "are less specific to their class than those"),
    ],
)
def test_a_lead_counts_only_if_its_corrected_p_value_is_below_5_percent(
    tmp_path, lead, p, words
):
    first, *_ = answers(tmp_path, [compared_row(lead, p=p)])
    assert words in first
    assert "more specific to" not in first


def test_several_saes_are_told_with_what_is_left_out_saturated_or_not_compared(
    tmp_path,
):
    relu = {"method": "relu"}
    compared = [
        compared_row(0.1, n_unreached=2),
        compared_row(0.01, p=0.8, n_gone=1, n_before_first=3, **relu),
        compared_row(n_controls=0, n_classes=0, lead="", p="", method="pca"),
    ]
    first, second, *_ = answers(tmp_path, compared, others=("relu", "pca", "untrained"))
    assert f"{SAE} (lead 0.100" in first
    assert "; the latents of relu k512-seed0, layer 10 (lead 0.010" in first
    assert "p-values are corrected for these 2 comparisons (Holm)." in first
    assert ". pca k512-seed0, layer 10 has no untrained SAE" in first
    assert second.endswith(
        "Left out because an edit of this length is out of reach: 2 classes of "
        f"{SAE}. Shorter than any edit that was measured with the SAE or with its "
        "control, and so read off a straight line from no edit: 3 classes of relu "
        "k512-seed0, layer 10. No interval knows how far the curve is from that line. "
        "Saturated, with at least 95 % of the IoU lost with the SAE and with its "
        "control: 1 class of relu k512-seed0, layer 10."
    )


def test_without_an_untrained_sae_nothing_is_said_about_training(tmp_path):
    nothing = {"n_controls": 0, "n_classes": 0, "lead": "", "p": ""}
    first, second, *_ = answers(tmp_path, [compared_row(**nothing)])
    assert first.startswith("No conclusion about training: no trained SAE has an")
    assert second == (
        "No conclusion: no class could be compared with equally long edits with other "
        "latents or random directions."
    )
