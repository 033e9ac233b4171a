"""Training logs for TensorBoard, if it is installed."""

from collections.abc import Callable
from pathlib import Path

from vitproto.prototypes.sae.learner import StepLog


def observer(folder: Path, wanted: bool) -> Callable[[str, int, StepLog], None]:
    """A function that writes logged steps to files of TensorBoard.

    Args:
        folder: for `tensorboard --logdir`; each run gets a folder in it.
        wanted: if false, the function does nothing.

    Raises:
        ValueError: it is wanted, and TensorBoard is not installed.
    """
    if not wanted:
        return lambda _run, _n_patches, _log: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "how.tensorboard is true, but TensorBoard is not installed: pip install "
            "tensorboard, or set it to false (the same numbers are in training.csv)"
        ) from error
    writers: dict[str, SummaryWriter] = {}

    def write(run: str, n_patches: int, log: StepLog) -> None:
        if run not in writers:
            writers[run] = SummaryWriter(str(folder / run))
        for name, value in log._asdict().items():
            writers[run].add_scalar(name, value, n_patches)
        writers[run].flush()

    return write
