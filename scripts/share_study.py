"""Pack what a study shows into one file that can be sent."""

from pathlib import Path

from tyro.conf import Positional

from vitproto.core.project import PROJECT
from vitproto.freshness.stale_text import describe_due
from vitproto.launch.cli import run
from vitproto.launch.dry_run import dry_run
from vitproto.launch.shared_zip import write_zip
from vitproto.planning.wording import size
from vitproto.study.read_study import read_study


def share_study(config: Positional[Path]) -> None:
    """Pack what a study shows into one file that can be sent: results/STUDY.zip.

    It holds pages, charts, tables, notes of what they were made of, and the study's
    configuration, but no activations and no scores. A study that is not finished, or
    with stale results, is refused.

    Args:
        config: The study, such as config/config.yaml.
    """
    study = read_study(config)
    jobs, verdict, _ = dry_run(config, PROJECT)
    due = describe_due(jobs, verdict)
    if verdict.changed or verdict.above or verdict.missing or verdict.unknown:
        raise ValueError(f"{due}\nRun the study first, and share it then")
    folder = Path("results", study["study"])
    archive = folder.with_name(f"{folder.name}.zip")
    n_files = write_zip(folder, study, archive)
    print(
        f"{archive}: {n_files:,} files, {size(archive.stat().st_size)}. Unpack it and "
        f"open {folder.name}/index.html."
    )


if __name__ == "__main__":
    run(share_study)
