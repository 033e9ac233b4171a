"""Lists of files that encoders need from the Hugging Face hub.

Only the stage `fetch_weights` connects to the hub. It leaves the files in the cache of
the hub's client and writes a list of them. Encoders are loaded from the listed files,
without a network. A list does not depend on the location of the files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitproto.core.files import whole_file
from vitproto.core.unreadable import unreadable

HUB = "hub"
"""The value of `weights` for the weights on the hub."""
RANDOM = "random"
"""The value of `weights` for random weights, as a control."""

NO_NETWORK = (
    "Without a network, set its `weights` to a file with the weights, or its "
    "`model` to local-dir:FOLDER"
)


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, at one of its commits."""

    repository: str
    commit: str
    name: str
    size: int
    sha256: str

    def at(self, hub_cache: Path) -> Path:
        """The path of the file in the cache."""
        folder = "models--" + self.repository.replace("/", "--")
        return hub_cache / folder / "snapshots" / self.commit / self.name


@dataclass(frozen=True)
class Fetched:
    """The files of an encoder: for `hf-hub:` models first `open_clip_config.json`, then
    the weights, unless these come from elsewhere."""

    model: str
    pretrained: str
    files: Sequence[HubFile]


def needs_hub(model: str, weights: str) -> bool:
    """Whether an encoder needs fetched files."""
    if model.startswith("local-dir:"):
        return False
    return model.startswith("hf-hub:") or weights == HUB


def write_fetched(path: Path, fetched: Fetched) -> None:
    """Write the list of an encoder's files."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(asdict(fetched), indent=1) + "\n")


def read_fetched(path: Path) -> Fetched:
    """Read the list that `write_fetched` wrote.

    Raises:
        ValueError: the file is missing, damaged, or not such a list.
    """
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = [HubFile(**file) for file in content["files"]]
        return Fetched(**{**content, "files": files})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(
            path,
            error,
            f"{path} is not a list of fetched files ({error}): {_again(path)}",
        ) from error


def find_fetched(path: Path, hub_cache: Path) -> list[Path]:
    """The paths of the files in a list.

    Raises:
        ValueError: a file is missing or has another size.
    """
    fetched = read_fetched(path)
    paths = []
    for file in fetched.files:
        place = file.at(hub_cache)
        if not place.is_file():
            problem = "not there"
        elif place.stat().st_size != file.size:
            problem = f"{place.stat().st_size:,} bytes long, not {file.size:,}"
        else:
            paths.append(place)
            continue
        raise ValueError(
            f"the encoder {path.stem}, {fetched.model} ({fetched.pretrained}), lacks "
            f"{file.name} of the hub: {place} is {problem}: {_again(path)}"
        )
    return paths


def _again(path: Path) -> str:
    return (
        f"fetch it again with `snakemake --cores 1 --force {path}` and your usual "
        "--configfile, on a machine with a network"
    )
