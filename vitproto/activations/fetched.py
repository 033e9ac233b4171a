"""Files of the Hugging Face hub that an encoder needs, and where they lie.

Only the stage `fetch_weights` asks the hub. It leaves the files in a folder, the hub
client's cache, and lists them; encoders are loaded from what a list names, without a
network. The same files make the same list, wherever they lie.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitproto.core.files import whole_file

HUB = "hub"
"""The value of `checkpoint` that takes the weights that the hub has."""
RANDOM = "random"
"""The value of `checkpoint` that asks for random weights, as a control."""

NO_NETWORK = (
    "Without a network, set its `checkpoint` to a file with the weights, or its "
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
        """Where the hub's client keeps it."""
        folder = "models--" + self.repository.replace("/", "--")
        return hub_cache / folder / "snapshots" / self.commit / self.name


@dataclass(frozen=True)
class Fetched:
    """The files of an encoder: of `hf-hub:` models first `open_clip_config.json`, and
    then the weights, unless these come from elsewhere."""

    model: str
    pretrained: str
    files: Sequence[HubFile]


def needs_hub(model: str, checkpoint: str) -> bool:
    """Must something be fetched before an encoder can be loaded?"""
    if model.startswith("local-dir:"):
        return False
    return model.startswith("hf-hub:") or checkpoint == HUB


def write_fetched(path: Path, fetched: Fetched) -> None:
    """List the files of an encoder."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(asdict(fetched), indent=1) + "\n")


def read_fetched(path: Path) -> Fetched:
    """Read a list of files, as `write_fetched` wrote it.

    Raises:
        ValueError: it is no such list.
    """
    try:
        content: Mapping[str, Any] = json.loads(path.read_text())
        files = [HubFile(**file) for file in content["files"]]
        return Fetched(**{**content, "files": files})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no list of fetched files ({error}): {_again(path)}"
        ) from error


def find_fetched(path: Path, hub_cache: Path) -> list[Path]:
    """Where are the files that a list names?

    Raises:
        ValueError: one is gone, or has another size.
    """
    fetched = read_fetched(path)
    found = []
    for file in fetched.files:
        place = file.at(hub_cache)
        if not place.is_file():
            problem = "not there"
        elif place.stat().st_size != file.size:
            problem = f"{place.stat().st_size:,} bytes long, not {file.size:,}"
        else:
            found.append(place)
            continue
        raise ValueError(
            f"the encoder {path.stem}, {fetched.model} ({fetched.pretrained}), lacks "
            f"{file.name} of the hub: {place} is {problem}: {_again(path)}"
        )
    return found


def _again(path: Path) -> str:
    return (
        f"fetch it again with `snakemake --cores 1 --force {path}`, and --configfile "
        "as ever, where there is a network"
    )
