"""Docstrings say what a thing is or does."""

import ast
import re

import pytest

from vitproto.core.project import PROJECT

FILES = [
    *(
        path
        for part in ("vitproto", "scripts")
        for path in PROJECT.glob(f"{part}/**/*")
    ),
    *PROJECT.glob("tests/**/*.py"),
    *PROJECT.glob("workflow/rules/*.smk"),
]


def strings_alone(text):
    """The docstrings of a file, also those under fields and of Snakemake's rules."""
    try:
        nodes = [node for node in ast.walk(ast.parse(text)) if type(node) is ast.Expr]
    except SyntaxError:  # rules
        return re.findall(r'^ *"""(.*?)"""$', text, re.MULTILINE | re.DOTALL)
    values = [node.value for node in nodes if isinstance(node.value, ast.Constant)]
    return [node.value for node in values if isinstance(node.value, str)]


def is_riddle(docstring):
    """Whether it opens in the middle of a sentence, or asks the reader."""
    opening = docstring.strip().partition("\n")[0]
    is_fragment = re.match(r"(Of|Such as|Whose|Without)\b", opening)
    return bool(is_fragment) or opening.endswith("?")


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Of images.", True),
        ("Whose activations.", True),
        ("Is it random?\n\nYes.", True),
        ("Offer images.", False),
        ("The size of images.\n\n    Is it random?", False),
    ],
)
def test_fragments_and_questions_are_told_from_sentences(docstring, expected):
    assert is_riddle(docstring) == expected


def test_no_docstring_is_a_fragment_or_a_question():
    texts = {
        path.relative_to(PROJECT): path.read_text(encoding="utf-8")
        for path in FILES
        if path.suffix in (".py", ".smk")
    }
    assert len(texts) > 300
    riddles = [
        f"{path}: {docstring.strip()}"
        for path, text in texts.items()
        for docstring in strings_alone(text)
        if is_riddle(docstring)
    ]
    assert not riddles


def test_messages_say_is_not():
    """`is not a preset`, not `is no preset`."""
    odd = re.compile(r"\b(is|are) no (?!longer\b|better\b|such\b)[a-z]")
    found = []
    for path in PROJECT.glob("vitproto/study/*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            is_other = re.search(r"\b[Tt]here (is|are) no", line)
            if odd.search(line) and not is_other:
                found.append(f"{path.name}: {line.strip()}")
    assert not found
