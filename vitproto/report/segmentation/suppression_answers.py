"""What does suppression show? All paragraphs, in the order in which they are read."""

from vitproto.report.segmentation.suppression_comparison import (
    write_comparison,
    write_comparison_at_half,
    write_other_lengths,
)
from vitproto.report.segmentation.suppression_rows import Suppression
from vitproto.report.segmentation.suppression_verdict import write_answer, write_verdict

HEADING = "Do a class's latents matter more to it than other edits?"


def write_answers(suppression: Suppression) -> list[str]:
    """Say what training adds, and whether latents matter more than other edits.

    Returns:
        Paragraphs that compare trained SAEs with untrained ones at equal edit length,
        say what that holds for, and compare them at other lengths and where classes
        have lost half of their IoU; one that compares latents with other edits of the
        same length, and one for each SAE.
    """
    return [
        *write_comparison(suppression),
        *write_other_lengths(suppression.comparison),
        *write_comparison_at_half(suppression.comparison),
        write_answer(suppression),
        *(write_verdict(sae, suppression) for sae in suppression.saes),
    ]
