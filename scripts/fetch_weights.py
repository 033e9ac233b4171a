"""Download the files of an encoder from the Hugging Face hub."""

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
    """Download the files of an encoder from the Hugging Face hub, and list them.

    No other stage uses the network. Files already in the folder are not downloaded
    again. The hub's environment variables, such as HF_ENDPOINT and HF_TOKEN, work.

    Args:
        fetched: The JSON file to write, which lists the files with their digests.
        model: An open_clip name, `hf-hub:OWNER/NAME`, or `timm:NAME`.
        pretrained: The tag of the weights.
        needs: `config` downloads only the architecture of an `hf-hub:` model, whose
            weights are random or come from a file.
        hub_cache: The folder for the files, a cache of the hub's client.
    """
    files = fetch(find_wanted(model, pretrained, needs), hub_cache)
    write_fetched(fetched, Fetched(model, pretrained, files))


if __name__ == "__main__":
    run(fetch_weights)
