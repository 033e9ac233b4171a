"""Code is compared by its text and links, not by where it lies."""

import re
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitproto.core.project import PROJECT
from vitproto.freshness.code.code_graph import changes_of_code, digest_of_code
from vitproto.freshness.code.fingerprint import fingerprint, reached

STAGE = "from pkg.a import f\ndef run(): return f(1)\nrun()\n"
F = "def f(x): return g(x) + LIMIT\n"
G = "def g(x): return x * 2\n"
ALL = f"import numpy as np\nLIMIT = np.pi\n{F}{G}"
START = {"scripts/stage.py": STAGE, "pkg/a.py": ALL}
SAME = {
    "a module of another name": {
        "scripts/stage.py": STAGE.replace("pkg.a", "pkg.sub.b"),
        "pkg/sub/__init__.py": "",
        "pkg/sub/b.py": ALL,
    },
    "a module beside the package": {
        "scripts/stage.py": STAGE.replace("pkg.a", "other.c"),
        "other/__init__.py": "",
        "other/c.py": ALL,
    },
    "a module of no package": {
        "scripts/stage.py": STAGE.replace("pkg.a", "alone"),
        "alone.py": ALL,
    },
    "a module beside the stage": {
        "scripts/stage.py": STAGE.replace("pkg.a", "alone"),
        "scripts/alone.py": ALL,
    },
    "a function in a module of its own": {
        "scripts/stage.py": STAGE,
        "pkg/a.py": f"from pkg.b import g\nfrom numpy import pi\nLIMIT = pi\n{F}",
        "pkg/b.py": G,
    },
    "each in a module of its own": {
        "scripts/stage.py": STAGE,
        "pkg/a.py": f"from .b import g\nfrom .c import LIMIT\n{F}",
        "pkg/b.py": G,
        "pkg/c.py": "import numpy\nLIMIT = numpy.pi\n",
    },
    "all in the stage": {
        "scripts/stage.py": ALL + STAGE.replace("from pkg.a import f\n", "")
    },
    "imported as a module": {
        "scripts/stage.py": "from pkg import a\ndef run(): return a.f(1)\nrun()\n",
        "pkg/a.py": ALL,
    },
    "imported by its whole name": {
        "scripts/stage.py": "import pkg.a\ndef run(): return pkg.a.f(1)\nrun()\n",
        "pkg/a.py": ALL,
    },
    "imported under another name": {
        "scripts/stage.py": (
            "from pkg.a import f as h\ndef run(): return h(1)\nrun()\n"
        ),
        "pkg/a.py": ALL,
    },
    "imported where it is used": {
        "scripts/stage.py": (
            "def run():\n  from pkg.a import f\n  return f(1)\nrun()\n"
        ),
        "pkg/a.py": ALL,
    },
    "passed on by the package": {
        "scripts/stage.py": "import pkg\ndef run(): return pkg.f(1)\nrun()\n",
        "pkg/__init__.py": "from pkg.a import f\n",
        "pkg/a.py": ALL,
    },
    "in another order, with unused ones between": {
        "scripts/stage.py": STAGE,
        "pkg/a.py": f"import numpy as np\n{G}UNUSED = 3\n{F}LIMIT = np.pi\n",
    },
}


def write(project, files):
    shutil.rmtree(project, ignore_errors=True)
    for name, text in {"pkg/__init__.py": "", **files}.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return reached("stage", project)


@pytest.mark.parametrize("files", SAME.values(), ids=SAME)
def test_what_moves_does_not_change(tmp_path, files):
    then = write(tmp_path / "then", START)
    now = write(tmp_path / "now", files)
    assert digest_of_code(now) == digest_of_code(then)
    assert changes_of_code(then, now) == []


@pytest.mark.parametrize("files", SAME.values(), ids=SAME)
@pytest.mark.parametrize(
    ("old", "new", "name"),
    [("* 2", "* 3", "g"), ("pi", "e", "LIMIT"), ("(x) + LI", "(x) - LI", "f")],
)
def test_after_a_move_only_the_real_edit_is_named(tmp_path, files, old, new, name):
    then = write(tmp_path / "then", START)
    edited = {
        file: re.sub(re.escape(old) + r"(?!\w* import)", new, text)
        for file, text in files.items()
    }
    (change,) = changes_of_code(then, write(tmp_path / "now", edited))
    assert change.endswith(f".py: {name} changed")
    assert edited[change.partition(":")[0]] != files[change.partition(":")[0]]


TWO = {
    "scripts/stage.py": (
        "from pkg.a import f\nfrom pkg.b import f as g\n"
        "def run(): return f() - g()\nrun()\n"
    ),
    "pkg/a.py": "def f(): return 1\n",
    "pkg/b.py": "def f(): return 2\n",
}
SAYING_THE_SAME = {
    **TWO,
    "pkg/a.py": "from pkg.c import h\ndef f(): return h()\n",
    "pkg/b.py": "from pkg.d import h\ndef f(): return h()\n",
    "pkg/c.py": "def h(): return 1\n",
    "pkg/d.py": "def h(): return 2\n",
}
STATE = {
    "scripts/stage.py": (
        "from pkg.a import put\nfrom pkg.b import get\n"
        "def run(): return put(1), get()\nrun()\n"
    ),
    "pkg/a.py": "TABLE = []\ndef put(x): TABLE.append(x)\n",
    "pkg/b.py": "TABLE = []\ndef get(): return TABLE\n",
}
REBOUND = {
    "scripts/stage.py": (
        "from pkg.a import load\nfrom pkg import a\n"
        "def run(): return load(), a.DEVICE\nrun()\n"
    ),
    "pkg/a.py": "DEVICE = 1\ndef load():\n  global DEVICE\n  DEVICE = 2\n",
}
TRY = {
    "scripts/stage.py": (
        "def run():\n  try: from pkg.a import f\n"
        "  except ImportError: from pkg.b import f\n  return f()\nrun()\n"
    ),
    "pkg/a.py": "def f(): return 1\n",
    "pkg/b.py": "def f(): return 2\n",
}
TWICE = {
    **TRY,
    "scripts/stage.py": (
        "def run(x=1):\n  if x:\n    from pkg.b import f\n  from pkg.a import f\n"
        "  return f()\nrun()\n"
    ),
}
OF_CLASS = {
    "scripts/stage.py": (
        "from pkg import a\nfrom pkg.a import X\n"
        "class K:\n  X = 1\n  y = X\ndef run(): return K, a.X\nrun()\n"
    ),
    "pkg/a.py": "X = 2\n",
}


@pytest.mark.parametrize(
    ("files", "file", "old", "new", "said"),
    [
        (
            TWO,
            "scripts/stage.py",
            "pkg.a import f\nfrom pkg.b import f as g",
            "pkg.b import f\nfrom pkg.a import f as g",
            [
                "scripts/stage.py: run uses pkg/a.py: f instead of pkg/b.py: f",
                "scripts/stage.py: run uses pkg/b.py: f instead of pkg/a.py: f",
            ],
        ),
        (
            SAYING_THE_SAME,
            "scripts/stage.py",
            "pkg.a import f\nfrom pkg.b import f as g",
            "pkg.b import f\nfrom pkg.a import f as g",
            [
                "scripts/stage.py: run uses pkg/a.py: f instead of pkg/b.py: f",
                "scripts/stage.py: run uses pkg/b.py: f instead of pkg/a.py: f",
            ],
        ),
        (
            SAYING_THE_SAME,
            "pkg/b.py",
            "pkg.d",
            "pkg.c",
            [
                "pkg/b.py: f uses pkg/c.py: h instead of pkg/d.py: h",
                "pkg/d.py: h is no longer used",
            ],
        ),
        (
            STATE,
            "pkg/b.py",
            "TABLE = []",
            "from pkg.a import TABLE",
            [
                "pkg/b.py: TABLE is no longer used",
                "pkg/b.py: get uses pkg/a.py: TABLE instead of pkg/b.py: TABLE",
            ],
        ),
        (
            REBOUND,
            "scripts/stage.py",
            "from pkg import a\ndef run(): return load(), a.DEVICE",
            "from pkg.a import DEVICE\ndef run(): return load(), DEVICE",
            ["scripts/stage.py: run changed"],
        ),
        (
            TRY,
            "scripts/stage.py",
            "pkg.a import f\n  except ImportError: from pkg.b",
            "pkg.b import f\n  except ImportError: from pkg.a",
            [
                "scripts/stage.py: run uses pkg/a.py: f instead of pkg/b.py: f",
                "scripts/stage.py: run uses pkg/b.py: f instead of pkg/a.py: f",
            ],
        ),
        (
            TWICE,
            "scripts/stage.py",
            "  if x:\n    from pkg.b import f\n  from pkg.a import f\n",
            "  from pkg.b import f\n  if x:\n    from pkg.a import f\n",
            ["scripts/stage.py: run changed"],
        ),
        (
            OF_CLASS,
            "scripts/stage.py",
            "y = X",
            "y = a.X",
            ["scripts/stage.py: K changed"],
        ),
    ],
)
def test_a_name_that_leads_elsewhere_is_a_change(tmp_path, files, file, old, new, said):
    then = write(tmp_path / "then", files)
    assert old in files[file]
    edited = {**files, file: files[file].replace(old, new)}
    now = write(tmp_path / "now", edited)
    assert digest_of_code(now) != digest_of_code(then)
    assert changes_of_code(then, now) == said


def test_what_modules_pass_on_to_each_other_in_a_circle_is_reached(tmp_path):
    files = {
        "scripts/stage.py": (
            "from pkg import a, b\ndef run(): return a.f(), b.f()\nrun()\n"
        ),
        "pkg/a.py": (
            "try: from pkg.b import f\nexcept ImportError:\n  def f(): return 1\n"
        ),
        "pkg/b.py": (
            "try: from pkg.a import f\nexcept ImportError:\n  def f(): return 2\n"
        ),
    }
    then = write(tmp_path, files)
    links = then["scripts/stage.py: run"].split("; ")[1:]
    assert links == ["pkg/a.py: f", "pkg/b.py: f"]
    for file, old in (("pkg/a.py", "1"), ("pkg/b.py", "2")):
        edited = {**files, file: files[file].replace(old, "3")}
        assert changes_of_code(then, write(tmp_path, edited)) == [f"{file}: f changed"]


def test_two_functions_that_change_places_with_their_users_have_only_moved(tmp_path):
    then = write(tmp_path / "then", SAYING_THE_SAME)
    swapped = {
        file: re.sub(
            r"pkg(.)([abcd])\b",
            lambda found: f"pkg{found[1]}{'badc'['abcd'.index(found[2])]}",
            text,
        )
        for file, text in SAYING_THE_SAME.items()
    }
    now = write(
        tmp_path / "now",
        {
            "scripts/stage.py": swapped["scripts/stage.py"],
            "pkg/a.py": swapped["pkg/b.py"],
            "pkg/b.py": swapped["pkg/a.py"],
            "pkg/c.py": swapped["pkg/d.py"],
            "pkg/d.py": swapped["pkg/c.py"],
        },
    )
    assert changes_of_code(then, now) == []
    assert digest_of_code(now) == digest_of_code(then)


def test_users_of_what_changed_have_not_changed(tmp_path):
    then = write(tmp_path, START)
    now = write(tmp_path, {**START, "pkg/a.py": ALL.replace("x * 2", "x * LIMIT")})
    assert changes_of_code(then, now) == ["pkg/a.py: g changed"]
    renamed = {**START, "pkg/a.py": ALL.replace("g(", "h(")}
    assert changes_of_code(then, write(tmp_path, renamed)) == [
        "pkg/a.py: g is no longer used",
        "pkg/a.py: h is used now",
    ]


def test_data_files_count_by_name_and_content_not_by_folder(tmp_path):
    reads = "def f(x): return 'table.txt', x\n"
    then = write(
        tmp_path / "then",
        {"scripts/stage.py": STAGE, "pkg/a.py": reads, "pkg/table.txt": "1"},
    )
    moved = {
        "scripts/stage.py": STAGE.replace("pkg.a", "pkg.sub.b"),
        "pkg/sub/__init__.py": "",
        "pkg/sub/b.py": reads,
        "pkg/sub/table.txt": "1",
    }
    assert changes_of_code(then, write(tmp_path / "now", moved)) == []
    edited = {**moved, "pkg/sub/table.txt": "2"}
    assert changes_of_code(then, write(tmp_path / "now", edited)) == [
        "pkg/sub/table.txt changed"
    ]


def test_data_files_of_the_same_name_are_told_apart_by_who_reads_them(tmp_path):
    reads = "def f(): return 'table.txt'\n"
    stage = TWO["scripts/stage.py"].replace("pkg.b", "pkg.sub.b")
    files = {
        "scripts/stage.py": stage,
        **{"pkg/a.py": reads, "pkg/table.txt": "1"},
        **{"pkg/sub/__init__.py": "", "pkg/sub/b.py": reads, "pkg/sub/table.txt": "2"},
    }
    then = write(tmp_path, files)
    now = write(tmp_path, {**files, "pkg/table.txt": "2", "pkg/sub/table.txt": "1"})
    assert changes_of_code(then, now) == [
        "pkg/sub/table.txt changed",
        "pkg/table.txt changed",
    ]


def test_the_package_that_is_named_to_find_data_may_move(tmp_path):
    reads = (
        "from importlib.resources import files\n"
        "def f(x): return files('pkg.data') / 'table.txt'\n"
    )
    stage = {"scripts/stage.py": STAGE, "pkg/a.py": reads}
    data = {"pkg/data/__init__.py": "", "pkg/data/table.txt": "1"}
    then = write(tmp_path, stage | data)
    moved = {
        "scripts/stage.py": STAGE,
        "pkg/a.py": reads.replace("pkg.data", "pkg.tables"),
        **{"pkg/tables/__init__.py": "", "pkg/tables/table.txt": "1"},
    }
    assert changes_of_code(then, write(tmp_path, moved)) == []


def test_packages_count_by_name_and_version():
    then = {"pkg/a.py: f": "aa", "numpy": "2.0", "torch": "2.1"}
    now = {"pkg/b.py: f": "aa", "numpy": "2.1", "pandas": "3.0"}
    assert changes_of_code(then, now) == [
        "numpy: 2.0 → 2.1",
        "pandas is used now",
        "torch is no longer used",
    ]
    assert changes_of_code(then, {**then, "numpy": "2.0"}) == []


def code_of(functions, root):
    """The code of the function `root`, with all that it uses.

    Written down with each function numbered by when it is first met, so that two are
    alike when their functions are, one for one.
    """
    numbers, lines, waiting = {}, [], [root]
    while waiting:
        i = waiting.pop()
        if i not in numbers:
            numbers[i] = len(numbers)
            waiting += reversed(functions[i][2])
            lines.append(i)
    return [
        (*functions[i][:2], [numbers[used] for used in functions[i][2]]) for i in lines
    ]


def texts_of(functions, modules, styles, root):
    """Sources of the functions in these modules, imported in these styles."""
    styles = iter(styles)
    defined, imported = {}, {}
    for i, (name, number, uses) in enumerate(functions):
        module, calls = modules[i], []
        for used in uses:
            other, called = modules[used], functions[used][0]
            new = f"{called}_of_{other}"
            style = next(styles)
            lines = imported.setdefault(module, set())
            if other == module:
                calls.append(f"{called}()")
            elif style == 0:
                lines.add(f"from pkg.{other} import {called} as {new}")
                calls.append(f"{new}()")
            elif style == 1:
                lines.add(f"import pkg.{other}")
                calls.append(f"pkg.{other}.{called}()")
            else:
                lines.add(f"from pkg import {other}")
                calls.append(f"{other}.{called}()")
        total = " + ".join([str(number), *calls])
        defined.setdefault(module, []).append(f"def {name}(): return {total}")
    files = {
        f"pkg/{module}.py": "\n".join([*sorted(imported.get(module, ())), *texts])
        + "\n"
        for module, texts in defined.items()
    }
    stage = f"from pkg.{modules[root]} import {functions[root][0]} as f\nf()\n"
    return {"scripts/stage.py": stage, **files}


N = 5
FUNCTIONS = st.lists(
    st.tuples(
        st.sampled_from("pq"),
        st.sampled_from([1, 2]),
        st.lists(st.integers(0, N - 1), max_size=2),
    ),
    min_size=N,
    max_size=N,
)
STYLES = st.lists(st.integers(0, 2), min_size=2 * N, max_size=2 * N)


@st.composite
def layouts(draw, functions):
    """Ways to distribute functions over modules, none with two of the same name."""
    modules = []
    for i, (name, _, _) in enumerate(functions):
        taken = {modules[k] for k in range(i) if functions[k][0] == name}
        free = [f"m{k}" for k in range(N) if f"m{k}" not in taken]
        modules.append(draw(st.sampled_from(free)))
    return modules


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_random_code_changes_if_and_only_if_what_it_comes_to_does(
    tmp_path_factory, data
):
    then = data.draw(FUNCTIONS)
    now = list(then)
    for _ in range(data.draw(st.integers(0, 2))):
        i = data.draw(st.integers(0, N - 1))
        now[i] = data.draw(FUNCTIONS)[i]
    root = data.draw(st.integers(0, N - 1))
    codes = []
    folder = tmp_path_factory.mktemp("random")
    for functions in (then, now):
        modules, styles = data.draw(layouts(functions)), data.draw(STYLES)
        codes.append(write(folder, texts_of(functions, modules, styles, root)))
    is_same = code_of(then, root) == code_of(now, root)
    assert (digest_of_code(codes[0]) == digest_of_code(codes[1])) == is_same
    assert (changes_of_code(*codes) == []) == is_same


def test_a_move_within_the_whole_project_changes_no_stage(tmp_path):
    for part in ("vitproto", "scripts"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    (tmp_path / "vitproto/moved").mkdir()
    (tmp_path / "vitproto/moved/__init__.py").touch()
    moves = {"core.files": "whole", "core.progress": "progress", "study.run": "runs"}
    for old, new in moves.items():
        source = tmp_path / f"vitproto/{old.replace('.', '/')}.py"
        source.rename(tmp_path / f"vitproto/moved/{new}.py")
        n_moved = 0
        for file in tmp_path.rglob("*.py"):
            text, n = re.subn(
                rf"from {re.escape(f'vitproto.{old}')} import",
                f"from vitproto.moved.{new} import",
                file.read_text(),
            )
            file.write_text(text)
            n_moved += n
        assert n_moved > 3
    moved = tmp_path / "vitproto/moved/whole.py"
    for file in (PROJECT / "scripts").glob("*.py"):
        assert fingerprint(file.stem, tmp_path) == fingerprint(file.stem), file
    moved.write_text(moved.read_text().replace("os.replace(", "os.rename("))
    then, now = reached("fit_pca"), reached("fit_pca", tmp_path)
    assert "vitproto/moved/whole.py: whole_file" in now
    (change,) = changes_of_code(then, now)
    assert change.startswith("vitproto/moved/whole.py: ")
    assert change.endswith(" changed")
