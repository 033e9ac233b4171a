"""What is said about latents beside other edits of the same length."""

from suppression_found import LATENTS, SAE, against, read, read_several
from suppression_rows import means

from vitproto.report.segmentation.suppression_answers import write_answers
from vitproto.report.segmentation.suppression_verdict import write_answer, write_verdict


def verdict(folder, **known):
    found = read(folder, against(1, 0.4), means=means(**known))
    return write_answer(found), write_verdict(SAE, found)


def test_a_win_against_all_controls_is_told(tmp_path):
    answer, text = verdict(tmp_path, margins=(0.2, 0.3, 0.1, 0.2), n_unreached=1)
    assert answer == (
        f"The latents of {SAE} matter more to their class than equally long edits with "
        "other latents or random directions. Each margin counts by its p-value, "
        "corrected for all 4 comparisons of SAEs with such edits (Holm)."
    )
    assert text.startswith(
        f"With edits 0.25 times as long as the activations, {LATENTS} matter more to "
        "their class than equally long edits with random latents (margin 0.200, 95 % "
        "interval 0.170 to 0.230, p = 0.010), random latents, as often active (margin "
        "0.300, 95 % interval 0.270 to 0.330, p = 0.010)"
    )
    assert (
        "They take 50.0 % of its IoU from the class and 10.0 % from the others, on "
        "average over 12 classes: a specificity of 0.400 (95 % interval 0.370 to "
        "0.430)."
    ) in text
    assert "1 class is left out: no dose makes edits this long." in text
    assert (
        "12 classes lose half of the IoU at some dose, on average by edits 0.25 times "
        "as long as the activations; the others have then lost 5.0 %. 1 class never "
        "loses half."
    ) in text
    assert text.endswith("specificity of 0.600: the latents reach 66.7 % of it.")


def test_where_nobody_wins_that_is_said_plainly(tmp_path):
    answer, text = verdict(tmp_path, own=0.02, margins=(0, 0.01, 0, 0), n_gone=2)
    assert answer.startswith(f"The latents of {SAE} do not clearly matter more")
    assert f"nobody wins: {LATENTS} cannot be told apart from equally long" in text
    assert "which is not clearly above 0." in text
    assert "2 classes are saturated there, with at least 95 % of the IoU lost." in text


def test_a_loss_is_told_and_a_mixed_result_in_all_its_parts(tmp_path):
    _, text = verdict(tmp_path, margins=(0.2, 0.2, 0, -0.2))
    win, close, loss = (
        text.index(words)
        for words in (
            f"{LATENTS} matter more to their class than equally long edits with rand",
            "; they cannot be told apart from those with random directions (margin",
            "; they matter less to their class than those with latents of another",
        )
    )
    assert win < close < loss
    assert "nobody wins" not in text


def test_a_margin_whose_corrected_p_value_is_5_percent_is_no_win(tmp_path):
    # Its own interval, 0.170 to 0.230, is above 0.
    answer, text = verdict(tmp_path, p=0.05)
    assert answer.startswith(f"The latents of {SAE} do not clearly matter more")
    assert f"nobody wins: {LATENTS} cannot be told apart from equally long" in text
    assert "matter more" not in text


def test_margins_over_few_classes_have_no_verdict(tmp_path):
    answer, text = verdict(tmp_path, p=float("nan"), n_classes=9)
    assert answer == (
        "No conclusion: fewer than 10 classes could be compared with equally long "
        "edits with other latents or random directions."
    )
    assert (
        f"activations, fewer than 10 classes are too few to compare {LATENTS} with "
        "random latents, random latents, as often active, random directions and "
    ) in text
    for word in ("matter", "told apart", "nobody wins", "nan"):
        assert word not in text


def test_latents_that_harm_the_others_more_are_called_so(tmp_path):
    _, text = verdict(tmp_path, own=-0.3, margins=(-0.1,) * 4, ceiling=-1)
    assert f"{LATENTS} matter less to their class than equally long edits" in text
    assert "they harm the others more than their class." in text
    assert text.endswith(
        "at this length not even the ceiling is specific to the class."
    )


def test_edits_as_long_as_the_activations_come_with_a_warning(tmp_path):
    _, text = verdict(tmp_path, length=1.2)
    assert "Activations edited this much are far from those of any image" in text


def test_controls_carry_a_badge_wherever_they_are_named(tmp_path):
    rows = means(method="untrained")
    found = read_several(tmp_path, means=rows, others=("untrained",))
    text = "\n".join(write_answers(found))
    assert text.count("untrained k512-seed0 [control], layer 10") >= 2
    assert "untrained k512-seed0, layer" not in text
    assert "this alone does not show that training found the class." in text
