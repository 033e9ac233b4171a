"""Fetch the files that an encoder needs from the Hugging Face hub."""

from pathlib import Path
from typing import Literal

from vitproto.activations.fetched import Fetched, write_fetched
from vitproto.activations.fetching import fetch, find_wanted
from vitproto.launch.cli import run


def fetch_weights(
    fetched: Path,
    *,
    model: str,
    pretrained: str,
    needs: Literal["weights", "config"],
    hub_cache: Path,
) -> None:
    """Fetch the files that an encoder needs from the Hugging Face hub, and list them.

    No other stage uses the network. What the folder has already is not fetched again.
    HF_ENDPOINT, HF_TOKEN and the like are heeded, as by every client of the hub.

    Args:
        fetched: the JSON file to write, which lists the files with their digests.
        model: an open_clip name, `hf-hub:OWNER/NAME`, or `timm:NAME`.
        pretrained: the tag of the weights.
        needs: `config` fetches the architecture of an `hf-hub:` model alone, whose
            weights are random or come from a file.
        hub_cache: the folder for the files, a cache of the hub's client.
    """
    files = fetch(find_wanted(model, pretrained, needs), hub_cache)
    write_fetched(fetched, Fetched(model, pretrained, files))


if __name__ == "__main__":
    run(fetch_weights)
