"""Find the lines of YAML files that say a key."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from vitproto.study.problems import KeyPath


@dataclass(frozen=True)
class Lines:
    """The file and line that say each key of a configuration."""

    by_path: Mapping[KeyPath, tuple[Path, int]]
    typed: Mapping[str, Any]
    """The values of `--config`, which win over all files."""

    @classmethod
    def of_files(
        cls, files: Sequence[Path], typed: Mapping[str, Any] = MappingProxyType({})
    ) -> "Lines":
        """Read files, of which the last wins where several say the same key.

        Args:
            files: YAML files.
            typed: what `--config` says.

        Raises:
            ValueError: a key stands twice in a section, or is neither text nor a whole
                number.
        """
        by_path: dict[KeyPath, tuple[Path, int]] = {}
        for file in files:
            root = yaml.compose(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
            if root is None:  # an empty file has no keys
                continue
            _refuse_doubles(root, file, (), set())
            by_path[()] = (file, root.start_mark.line + 1)
            by_path |= {path: (file, line) for path, line in _walk(root)}
        return cls(by_path, typed)

    def find(self, path: KeyPath) -> tuple[Path, int] | None:
        """The file and line of a key or, if no file says it, of its section."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.by_path:
                return self.by_path[path[:length]]
        return None if path else self.by_path.get(())

    def place(self, path: KeyPath) -> str:
        """`file:line: key`, as exact as the files allow, or `--config: key`."""
        dotted = ".".join(map(str, path)) or "the study"
        if self._is_typed(path):
            return f"--config: {dotted}"
        place = self.find(path)
        return dotted if place is None else f"{place[0]}:{place[1]}: {dotted}"

    def _is_typed(self, path: KeyPath) -> bool:
        value: Any = self.typed
        for key in path:
            if not isinstance(value, Mapping):
                return True  # an item of a list that was typed
            if key not in value:
                return False
            value = value[key]
        return bool(path) and not isinstance(value, Mapping)


_TAGS_OF_KEYS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "merge"))


def _refuse_doubles(
    node: yaml.Node, file: Path, path: KeyPath, seen: set[yaml.Node]
) -> None:
    if node in seen:  # an alias
        return
    seen.add(node)
    if isinstance(node, yaml.MappingNode):
        line_of_key: dict[Any, int] = {}
        for key_node, value in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if key_node.tag not in _TAGS_OF_KEYS:
                raise ValueError(
                    f"{file}:{line}: {key or 'nothing'} cannot be a key: write "
                    "text, in quotes if YAML reads it otherwise"
                )
            if key in line_of_key:
                raise ValueError(
                    f"{file}:{line}: {'.'.join(map(str, (*path, key)))} stands already "
                    f"in line {line_of_key[key]}: keep one"
                )
            line_of_key[key] = line
            _refuse_doubles(value, file, (*path, key), seen)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _refuse_doubles(item, file, (*path, i), seen)


def _walk(node: yaml.Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    """The line of each key and of each item of a list; the last one counts."""
    if isinstance(node, yaml.MappingNode):
        constructor = SafeConstructor()
        constructor.flatten_mapping(node)  # puts what `<<` merges before the own keys
        for key_node, value in node.value:
            inner = (*path, constructor.construct_object(key_node))
            yield inner, key_node.start_mark.line + 1
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            inner = (*path, i)
            yield inner, item.start_mark.line + 1
            yield from _walk(item, inner)
