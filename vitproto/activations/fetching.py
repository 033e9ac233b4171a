"""Fetch the files that an encoder needs from the Hugging Face hub.

Files go to a cache of the hub's client, and are fetched once for all studies. A killed
download starts again; files that it completed stay.
"""

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitproto.activations.fetched import NO_NETWORK, HubFile
from vitproto.activations.tags import tag_of_open_clip, tag_of_timm
from vitproto.core.progress import DownloadBar

CONFIG = ("open_clip_config.json",)
_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_TIMM = ("model.safetensors", "pytorch_model.bin")

_ABANDONED_S = 3600
"""A download that has written nothing for this long was killed."""


@dataclass(frozen=True)
class Wanted:
    """The files that an encoder needs from a repository."""

    repository: str
    revision: str
    """A branch, tag or commit."""
    files: Sequence[Sequence[str]]
    """Possible names of each file; the first that exists is used."""


def find_wanted(
    model: str, pretrained: str, needs: Literal["weights", "config"]
) -> Wanted:
    """Find the files that an encoder needs.

    Args:
        model: `hf-hub:OWNER/NAME`, `timm:NAME`, or a name of open_clip.
        pretrained: the tag of the weights.
        needs: `config` omits the weights of an `hf-hub:` model.

    Raises:
        ValueError: the model or tag does not exist, or its weights are not on the hub.
    """
    if model.startswith("hf-hub:"):
        place, _, revision = model.removeprefix("hf-hub:").partition("@")
        files = [CONFIG, _OPEN_CLIP] if needs == "weights" else [CONFIG]
        return Wanted(place, revision or "main", files)
    assert needs == "weights", "a built-in model comes with its configuration"
    if model.startswith("timm:"):
        cfg = tag_of_timm(model, pretrained)
        place, _, revision = cfg.get("hf_hub_id", "").partition("@")
        names = _alternatives(cfg.get("hf_hub_filename", ""), _TIMM)
    else:
        cfg = tag_of_open_clip(model, pretrained)
        place, _, name = cfg["hf_hub"].rpartition("/")
        revision, names = "", _alternatives(name, _OPEN_CLIP)
    if not place:
        raise ValueError(
            f"{model} ({pretrained}) is not on the Hugging Face hub, only at "
            f"{cfg.get('url')}, which is not supported: write another `pretrained`"
        )
    return Wanted(place, revision or "main", [names])


def fetch(wanted: Wanted, hub_cache: Path) -> list[HubFile]:
    """Fetch the files, all of the same commit, and describe them.

    Without a network, files in the cache are used.

    Raises:
        ValueError: the hub has no such repository or file, or cannot be reached, or a
            fetched file is damaged.
    """
    _remove_abandoned(hub_cache, wanted.repository)
    files, revision = [], wanted.revision
    for names in wanted.files:
        path = _fetch_first(wanted.repository, revision, names, hub_cache)
        # COMMIT in `…/snapshots/COMMIT/NAME`: a branch may move while we fetch.
        revision = path.parent.name
        files.append(_describe(wanted.repository, path))
        logging.info(
            "%s of %s, commit %s: %s bytes",
            *(path.name, wanted.repository, revision[:12], f"{files[-1].size:,}"),
        )
    return files


def _alternatives(name: str, usual: Sequence[str]) -> Sequence[str]:
    """Possible names of a file: like open_clip and timm, prefer .safetensors."""
    if not name or name in usual:
        return usual
    stem, dot, suffix = name.rpartition(".")
    safe = f"{stem}.safetensors"
    return [safe, name] if dot and suffix in ("bin", "pth") else [name]


def _fetch_first(
    repository: str, revision: str, names: Sequence[str], hub_cache: Path
) -> Path:
    """Fetch the first of some files that exists in the repository."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    unreachable: Exception | None = None
    for name in names:
        try:
            path = hf_hub_download(
                repository,
                name,
                revision=revision,
                cache_dir=hub_cache,
                # If the hub cannot be reached, the cache may have another name.
                local_files_only=unreachable is not None,
                tqdm_class=DownloadBar,
            )
            return Path(path)
        except RemoteEntryNotFoundError:
            continue
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise ValueError(
                f"{constants.ENDPOINT} has no repository {repository} with a revision "
                f"{revision} that you may read: correct the encoder's `model`, or, if "
                "the repository is private or gated, log in with `hf auth login`"
            ) from error
        except LocalEntryNotFoundError as error:
            unreachable = unreachable or error.__cause__ or error
        except (HfHubHTTPError, HTTPError, OSError) as error:
            raise _not_fetched(repository, name, error) from error
    if unreachable is not None:
        raise _not_fetched(repository, names[0], unreachable)
    raise ValueError(
        f"{repository} has no {' or '.join(names)} at revision {revision}, so it "
        "cannot be used as an encoder: correct the encoder's `model`"
    )


def _not_fetched(repository: str, name: str, error: BaseException) -> ValueError:
    from huggingface_hub import constants

    why = str(error).strip().split("\n")[0] or type(error).__name__
    return ValueError(
        f"{name} of {repository} cannot be fetched from {constants.ENDPOINT} ({why}): "
        f"run the same command again. {NO_NETWORK}"
    )


def _describe(repository: str, path: Path) -> HubFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    # The client names a large file by its SHA-256 according to the hub.
    expected = Path(os.readlink(path)).name if path.is_symlink() else ""
    if len(expected) == len(sha256) and expected != sha256:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is {sha256}, expected {expected}: delete "
            f"{path.parent.parent.parent} and run the same command again"
        )
    return HubFile(repository, path.parent.name, path.name, path.stat().st_size, sha256)


def _remove_abandoned(hub_cache: Path, repository: str) -> None:
    """Delete incomplete files of killed downloads, which the client does not do."""
    blobs = hub_cache / ("models--" + repository.replace("/", "--")) / "blobs"
    for part in blobs.glob("*.incomplete"):
        with suppress(FileNotFoundError):  # another job may do the same
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()
