"""Read a YAML file that holds keys with values."""

from pathlib import Path
from typing import Any

import yaml


def read_mapping(file: Path) -> dict[str, Any]:
    """Read a YAML file that holds keys with values.

    Raises:
        ValueError: it is missing, cannot be read, is not YAML, or holds no keys.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except FileNotFoundError:
        raise ValueError(
            f"{file} not found: name a study's file, such as config/demo.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {file}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        problem = getattr(error, "problem", None) or getattr(error, "reason", "")
        raise ValueError(f"{file}{line}: cannot read this as YAML: {problem}") from None
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a {type(content).__name__}"
        raise ValueError(
            f"{file} holds {kind} where `key: value` is needed: name a study's file, "
            "such as config/demo.yaml"
        )
    return content
