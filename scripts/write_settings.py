"""Write the schema and the reference of settings from their types."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.launch.cli import run
from vitproto.settings.reference import write_reference
from vitproto.settings.schema import write_schema
from vitproto.settings.study_tree import Study


def write_settings(*, schema: Path, reference: Path) -> None:
    """Write the schema and the reference of settings from their types.

    Args:
        schema: The YAML file to write the JSON schema to.
        reference: The Markdown file to write the table of all settings to.
    """
    texts = {schema: write_schema(Study), reference: write_reference(Study)}
    for path, text in texts.items():
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(write_settings)
