"""The definitions that a stage can reach, in tiny projects.

In their code, numbers that begin with 1 can change what the stage does; numbers that
begin with 2 cannot. Each is changed by itself.
"""

import importlib.metadata
import random
import re
import runpy
import sys
from itertools import count

import pytest

from vitproto.freshness.code import dependencies
from vitproto.freshness.code.fingerprint import fingerprint, reached

RUN = 'if __name__ == "__main__":\n    run()\n'
PROJECTS = {
    "functions of an imported module": {
        "scripts/stage.py": f"""
            from pkg.a import f as g
            LIMIT = 100
            UNUSED = 200
            def run(): return g(LIMIT)
            def helper(): return 201
            {RUN}""",
        "pkg/a.py": """
            def f(x): return _g(x) + 101
            def _g(x): return x + 102
            def h(x): return _g(x) + 202
            """,
    },
    "attributes of modules": {
        "scripts/stage.py": f"""
            import pkg.a
            import pkg.b as b
            from pkg import c
            def run(): return pkg.a.f() + b.g() + c.K.size
            {RUN}""",
        "pkg/a.py": "def f(): return 100\ndef g(): return 200\n",
        "pkg/b.py": "def f(): return 201\ndef g(): return 101\n",
        "pkg/c.py": "class K:\n  size = 102\n  def m(self): return 103\nL = 202\n",
    },
    "imports within functions": {
        "scripts/stage.py": f"""
            def run():
                from pkg.a import f
                return f()
            def other():
                from pkg.b import f
                return f()
            {RUN}""",
        "pkg/a.py": "def f():\n  import pkg.b as b\n  return b.g()\nX = 200\n",
        "pkg/b.py": "def f(): return 201\ndef g(): return 100\n",
    },
    "global names": {
        "scripts/stage.py": f"from pkg.a import f\ndef run(): return f()\n{RUN}",
        "pkg/a.py": """
            def f(): return load() + b.g() + h()
            def load():
                global b, h
                import pkg.b as b
                h = lambda: 100
                return 101
            def unused(): return 200
            """,
        "pkg/b.py": "def g(): return 102\ndef h(): return 201\n",
    },
    "names that packages pass on": {
        "scripts/stage.py": f"from pkg import f\ndef run(): return f()\n{RUN}",
        "pkg/__init__.py": "from pkg.a import f\nfrom .b import g\n",
        "pkg/a.py": "from . import b\ndef f(): return b.h() + 100\nX = 200\n",
        "pkg/b.py": "def g(): return 201\ndef h(): return 101\n",
    },
    "decorators, defaults, annotations, bases": {
        "scripts/stage.py": f"""
            from pkg.a import C, D, E, F, deco, unused
            @deco(100)
            def run(x=C, *, y: D = None) -> "E": return F()
            {RUN}""",
        "pkg/a.py": """
            def deco(n): return lambda f: f
            class C: a = 101
            class D: a = 102
            class E: a = 103
            class Base: a = 104
            class F(Base):
                def m(self): return [self.n() for _ in range(105)]
                def n(self): return 106
            class Unused: a = 200
            def unused(x=201): return x
            """,
    },
    "constants": {
        "scripts/stage.py": f"""
            from pkg.a import A, C, E, F, TABLE
            def run(): return A, C, E, F, TABLE["f"]()
            {RUN}""",
        "pkg/a.py": """
            A: int = 100
            B: int = 200
            C, (D, *E) = 101, (102, 103)
            F = [x for x in (104, 105)]
            G = [x for x in (201, 202)]
            def f(): return 106
            def g(): return 203
            TABLE = {"f": f}
            OTHER = {"g": g}
            """,
    },
    "names defined again": {
        "scripts/stage.py": f"from pkg.a import f\ndef run(): return f()\n{RUN}",
        "pkg/a.py": """
            A = 100
            def f(): return 101
            _f = f
            def f(): return _f() + A
            A += 102
            B = 200
            """,
    },
    "local functions, lambdas and comprehensions": {
        "scripts/stage.py": f"""
            from pkg.a import a, b, c, d
            def run():
                def inner(): return a()
                call = lambda: b()
                return inner() + call() + sum(c() for _ in range(3))
            {RUN}""",
        "pkg/a.py": """
            def a(): return 100
            def b(): return 101
            def c(): return 102
            def d(): return 200
            """,
    },
    "what modules do when they are imported": {
        "scripts/stage.py": f"from pkg.a import f\ndef run(): return f()\n{RUN}",
        "pkg/__init__.py": "import pkg.c\n",
        "pkg/a.py": """
            import pkg.b
            def f(): return TABLE
            TABLE = {}
            TABLE["f"] = 100
            if TABLE: LIMIT = 101
            for x in (102,): pass
            try: import nowhere_at_all
            except ImportError: TABLE["g"] = 103
            def g(): return 200
            """,
        "pkg/b.py": "import math\nmath.tau = 104\ndel math.e\nX = 201\n",
        "pkg/c.py": """
            from pkg.d import register
            register(105)
            print(204)
            @register
            def f(): return 106
            class Sub(dict, key=107): pass
            def g(): return 202
            def h(x=register(108)): return 109
            """,
        "pkg/d.py": """
            FOUND = []
            def register(f):
                FOUND.append(f)
                return 110
            def unused(): return 203
            """,
    },
    "modules that are passed around": {
        "scripts/stage.py": f"""
            from pkg import a, b, c
            def run(): return [getattr(m, "f")() for m in (a, b)] + [c.f()]
            {RUN}""",
        "pkg/a.py": "def f(): return 100\nX = 101\n",
        "pkg/b.py": "from pkg.d import g\nX = 102\n",
        "pkg/c.py": "def f(): return 103\nX = 200\n",
        "pkg/d.py": "def g(): return 104\nX = 201\n",
    },
    "globals, eval and the like": {
        "scripts/stage.py": f"""
            from pkg import a, b, c, e, g, h
            def run(): return a.f(), b.f(), c.f(), e.f(), g.f(), h.f()
            {RUN}""",
        "pkg/a.py": "def f(): return globals()\nX = 100\n",
        "pkg/b.py": "def f(): return eval('X')\nX = 101\n",
        "pkg/c.py": "import sys\ndef f(): return sys.modules[__name__]\nX = 102\n",
        "pkg/d.py": "def f(): return globals()\nX = 200\n",
        "pkg/e.py": "import sys\ndef f(): return 'x' in sys.modules\nX = 201\n",
        "pkg/g.py": "import sys as s\ndef f(): return s.modules['x']\nX = 103\n",
        "pkg/h.py": "def f(x=vars()): return vars(x), dir(x)\nX = 104\n",
    },
    "modules that answer for missing names": {
        "scripts/stage.py": f"from pkg.a import f\ndef run(): return f()\n{RUN}",
        "pkg/a.py": "def __getattr__(name): return {'f': lambda: X}[name]\nX = 100\n",
    },
    "import of all names": {
        "scripts/stage.py": f"from pkg.a import *\ndef run(): return f()\n{RUN}",
        "pkg/a.py": "def f(): return 100\ndef g(): return 101\n",
        "pkg/b.py": "def f(): return 200\n",
    },
    "import by text": {
        "scripts/stage.py": f"""
            import importlib
            def run(): return importlib.import_module("pkg.a").f()
            {RUN}""",
        "pkg/a.py": "def f(): return 100\ndef g(): return 101\n",
        "pkg/b.py": "def f(): return 200\n",
    },
    "import by a text that is not known": {
        "scripts/stage.py": f"""
            from importlib import import_module
            def run(name="pkg.a"): return import_module(name).f()
            {RUN}""",
        "pkg/a.py": "def f(): return 100\n",
        "pkg/sub/__init__.py": "",
        "pkg/sub/b.py": "def f(): return 101\n",
    },
    "all subclasses": {
        "scripts/stage.py": f"""
            import pkg.b
            from pkg.a import Base
            def run(): return Base.__subclasses__()
            {RUN}""",
        "pkg/a.py": "class Base: pass\n",
        "pkg/b.py": "from pkg.a import Base\nclass Sub(Base): a = 100\n",
    },
    "a stage beside": {
        "scripts/stage.py": f"from other import f\ndef run(): return f()\n{RUN}",
        "scripts/other.py": "def f(): return 100\ndef g(): return 200\n",
    },
    "local names that are global elsewhere": {
        "scripts/stage.py": f"""
            from pkg.a import a, b, c, d, e, f, g, h
            def run(a, *b, c=h):
                for d in a: pass
                with a as e: pass
                def inner(): return d, e, [f for f in b], lambda g: g
                return inner
            def use(): return x, (y := 1), z
            {RUN}""",
        "pkg/a.py": """
            def a(): return 200
            def b(): return 201
            def c(): return 202
            def d(): return 203
            def e(): return 204
            def f(): return 205
            def g(): return 206
            def h(): return 100
            """,
    },
    "names that a class gives and uses": {
        "scripts/stage.py": f"""
            from pkg.a import a, b, c
            class K:
                x = a
                a = 100
                def m(self): return b
                b = 101
                c: int
            def run(): return K
            {RUN}""",
        "pkg/a.py": """
            def a(): return 102
            def b(): return 103
            def c(): return 200
            """,
    },
    "names that a function gives with `:=`, `del`, `except`, `match`, `nonlocal`": {
        "scripts/stage.py": f"""
            from pkg.a import a, b, c, d, e, f, g
            def run(n):
                try: g
                except OSError as c: raise
                match n:
                    case [d, *e]: pass
                    case {{"key": 100, **f}}: pass
                del b
                def inner():
                    nonlocal b
                    return a, b, c, d, e, f
                return [a := n for n in n]
            {RUN}""",
        "pkg/a.py": """
            def a(): return 200
            def b(): return 201
            def c(): return 202
            def d(): return 203
            def e(): return 204
            def f(): return 205
            def g(): return 101
            """,
    },
    "texts of errors": {
        "scripts/stage.py": f"""
            from pkg.a import count, Other
            class Ours(ValueError): a = 111
            class Keeps(ValueError):
                def __init__(self, kind): self.kind = kind
            def run(x):
                if x: raise Keeps("113")
                if x > 100: raise ValueError("above 200")
                if x: raise Ours(f"{{count(x)}} is 201", 101) from KeyError("202")
                if x: raise Ours(f"203 {{x}}" + str(x + 204), key="102")
                if x: raise Other("114")
                if x: raise OSError("206 %d" % (x + 207) if x else "208")
                if x: raise RuntimeError("209 {{}}".format(x + 210), x + 103)
                if x: return [ValueError("211"), OSError(f"212 {{x}}", 104)]
                if x: return ValueError(f"213 {{look(105)}} {{len(x) + 214}}")
                if x: raise error("106")
                assert x == 107, f"215 {{x}}" " 216"
                assert x, 108
                return Other("109")
            def error(text): return OSError(text)
            def look(x): return 110
            {RUN}""",
        "pkg/a.py": """
            def count(x): return 217
            class Other(ValueError): a = 112
            """,
    },
    "what is logged and printed": {
        "scripts/stage.py": f"""
            import logging, sys, warnings
            import logging as l
            from logging import info as tell
            from warnings import warn
            from pkg.a import write, seen, other
            logger = logging.getLogger("221")
            def run(x, f):
                print("200", x + 201, len(x) + 202, sep="203")
                print("101", file=f)
                logging.info("204 %d %d", x.n + 205, *(x, 206))
                l.debug("207")
                tell(f"208 {{x[209]:.210f}}")
                logger.warning("211 %s", write(x))
                logger.log(212, "213", exc_info=214)
                logging.error("%s", 215 if x else "216")
                logging.error("%s", 102 if x else seen(x))
                logging.error("%s", x > 103 and seen(x))
                print([y for y in x if y > 104], *x.pop(105))
                warnings.warn("217", FutureWarning, stacklevel=106)
                warn(f"218 {{seen(107)}}")
                if x > 108: sys.exit("219")
                y = print(109)
                other.info("110")
                logging.basicConfig(level=111)
                x.info(112)
                sys.exit(113)
            {RUN}""",
        "pkg/a.py": """
            def write(x): return 114
            def seen(x): return 115
            other = 116
            """,
        "pkg/b.py": "from pkg.a import write\nprint(220)\n",
    },
    "what only seems to log or print": {
        "scripts/stage.py": f"""
            from pkg.a import print, logging
            logger = logging.getLogger()
            def run(warn, ValueError):
                print(100)
                logging.info(101)
                logger.info(102)
                warn("103")
                return ValueError("104")
            {RUN}""",
        "pkg/a.py": """
            def print(x): return 105
            class logging:
                def info(x): return 106
            """,
    },
    "classes of ours that others derive from": {
        "scripts/stage.py": f"""
            import pkg.a, pkg.b
            def run(): return 100
            {RUN}""",
        "pkg/a.py": "class A: x = 200\nclass B(A): x = 201\nclass C(B): x = 202\n",
        "pkg/b.py": """
            class A:
                def __init_subclass__(cls): cls.y = 101
            class B(A): x = 102
            class C: x = 103
            C = len([A])
            class D(C): x = 104
            """,
    },
    "a decorator that only wraps, and one of ours with the same name": {
        "scripts/stage.py": f"""
            import pkg.a, pkg.b, pkg.d, pkg.e
            def run(): return 100
            {RUN}""",
        "pkg/a.py": "from functools import cache\n@cache\ndef f(): return 200\n",
        "pkg/b.py": "from pkg.c import cache\n@cache\ndef f(): return 101\n",
        "pkg/c.py": "def cache(f): return f\n",
        "pkg/d.py": "def property(f): return f\n@property\ndef f(): return 102\n",
        "pkg/e.py": "@staticmethod\ndef f(): return 201\n",
    },
}


def write(project, files):
    for name, text in files.items():
        lines = text.strip("\n").split("\n")
        indent = " " * (len(lines[0]) - len(lines[0].lstrip()))
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line.removeprefix(indent) for line in lines) + "\n")


@pytest.fixture
def project(tmp_path):
    write(tmp_path, {"pkg/__init__.py": "", "scripts/stage.py": ""})
    return tmp_path


@pytest.mark.parametrize("files", PROJECTS.values(), ids=PROJECTS)
def test_what_a_stage_can_reach_counts_and_nothing_else(project, files):
    write(project, files)
    before = fingerprint("stage", project)
    for name in files:
        path = project / name
        text = path.read_text()
        for number in re.finditer(r"\b[12]\d\d\b", text):
            path.write_text(f"{text[: number.start()]}999{text[number.end() :]}")
            changed = fingerprint("stage", project) != before
            assert changed == number[0].startswith("1"), (name, number[0])
        path.write_text(text)
    assert fingerprint("stage", project) == before


def test_layout_does_not_count_but_the_order_of_effects_does(project):
    write(project, {"scripts/stage.py": "from pkg.a import f, g\nf(1)\ng(2)\n"})
    write(project, {"pkg/a.py": "X = 1\ndef f(x): return x\ndef g(x): return x + X\n"})
    before = fingerprint("stage", project)
    write(project, {"scripts/stage.py": "from pkg.a import (g,\n  f)\nf( 1 );g(2) # 3"})
    text = 'def g(x):\n    """Add."""\n    return x+X\ndef f(x): return x\nX = 1\n'
    write(project, {"pkg/a.py": text})
    assert fingerprint("stage", project) == before
    write(project, {"scripts/stage.py": "from pkg.a import f, g\ng(2)\nf(1)\n"})
    assert fingerprint("stage", project) != before


def test_the_same_name_from_elsewhere_counts(project):
    write(project, {"scripts/stage.py": "from math import sqrt\nprint(sqrt(2))\n"})
    before = fingerprint("stage", project)
    write(project, {"scripts/stage.py": "from cmath import sqrt\nprint(sqrt(2))\n"})
    assert fingerprint("stage", project) != before


def test_data_files_that_reached_code_names_count(project):
    """Wherever they lie among the code, and however their path is put together."""
    code = "def f(): return 'f.txt'\ndef g(): return 'g.txt'\nWEIGHTS = 'weights'\n"
    stage = "from pkg.a import f, WEIGHTS\nfrom importlib.resources import files\n"
    stage += "X = f(), files('pkg.data') / 'h.txt', 'tables/t.txt', WEIGHTS\n"
    write(project, {"scripts/stage.py": stage, "pkg/a.py": code})
    data = {"pkg/f.txt", "pkg/data/h.txt", "pkg/x/tables/t.txt", "pkg/weights"}
    write(project, dict.fromkeys([*data, "pkg/g.txt"], "1"))
    write(project, {"pkg/data/__init__.py": ""})
    known = {name.partition(":")[0] for name in reached("stage", project)}
    assert known & {*data, "pkg/g.txt"} == data
    before = fingerprint("stage", project)
    (project / "pkg/g.txt").write_text("2")
    assert fingerprint("stage", project) == before
    (project / "pkg/f.txt").write_text("2")
    assert fingerprint("stage", project) != before


def test_versions_of_the_packages_that_reached_code_uses_count(project, monkeypatch):
    versions = {"numpy": "2.0", "torch": "2.1+cpu", "pandas": "3.0", "tqdm": "4.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    not_kept = dependencies._version.__wrapped__
    monkeypatch.setattr(dependencies, "_version", not_kept)
    code = """
        import numpy as np
        import pandas as pd
        import torch
        from tqdm import tqdm
        def f(x): return tqdm(np.sqrt(x))
        def g(x): return pd.DataFrame(x)
        """
    stage = "from pkg.a import f\ndef run():\n  import torch\n  f(2)\nrun()\n"
    write(project, {"scripts/stage.py": stage, "pkg/a.py": code})
    parts = reached("stage", project)
    assert {name: parts[name] for name in parts if "/" not in name} == {
        "numpy": "2.0",
        "torch": "2.1",
    }
    before = fingerprint("stage", project)
    versions |= {"torch": "2.1+cu128", "pandas": "3.1", "tqdm": "4.1"}
    assert fingerprint("stage", project) == before
    versions["numpy"] = "2.0.1"
    assert fingerprint("stage", project) != before


def test_a_change_is_explained_by_the_definitions_that_changed(project):
    write(project, {"scripts/stage.py": "from pkg.a import f\nf()\n"})
    write(project, {"pkg/a.py": "A = 1\ndef f(): return A\ndef g(): return 3\n"})
    before = reached("stage", project)
    assert before.keys() == {"scripts/stage.py", "pkg/a.py: A", "pkg/a.py: f"}
    write(project, {"pkg/a.py": "A = 2\ndef f(): return A\ndef g(): return 4\n"})
    after = reached("stage", project)
    assert {name for name in before if before[name] != after[name]} == {"pkg/a.py: A"}


def test_an_import_of_a_module_that_is_not_there_is_refused(project):
    write(project, {"scripts/stage.py": "from pkg.gone import f\n"})
    with pytest.raises(ValueError, match=r"pkg\.gone is imported, but does not"):
        fingerprint("stage", project)
    with pytest.raises(ValueError, match="there is no stage 'other' in"):
        fingerprint("other", project)


def random_project(rng):
    """Modules whose definitions use earlier ones in various ways, by file.

    Each definition adds a number of its own to what it uses; the stage prints a sum.
    """
    texts = {i_module: [] for i_module in range(4)}
    values = []  # the module, name and value of each definition
    new_names = (f"x{i}" for i in count())

    def used(i_module, indent=""):
        """A sum of two earlier values, and the imports that it needs."""
        imports, terms = [], []
        earlier = [value for value in values if value[0] <= i_module]
        for where, name, value in rng.sample(earlier, min(len(earlier), 2)):
            style, new = rng.randrange(20), next(new_names)
            if where == i_module:
                terms.append(value)
            elif style == 0:
                imports.append(f"from . import m{where}")
                terms.append(f"getattr(m{where}, '{name}'){value.removeprefix(name)}")
            elif style < 5:
                imports.append(f"from pkg.m{where} import {name}")
                terms.append(value)
            elif style < 10:
                imports.append(f"from .m{where} import {name} as {new}")
                terms.append(value.replace(name, new))
            elif style < 15:
                imports.append(f"import pkg.m{where}")
                terms.append(f"pkg.m{where}.{value}")
            else:
                imports.append(f"from pkg import m{where} as {new}")
                terms.append(f"{new}.{value}")
        return "".join(f"{indent}{line}\n" for line in imports), " + ".join(
            [str(100 + len(values)), *terms]
        )

    for i in range(16):
        i_module = i // 4
        name, kind = f"n{i}", rng.randrange(8)
        imports, total = used(i_module)
        inner, inner_total = used(i_module, "    ")
        texts[i_module].append(imports)
        values.append((i_module, name, f"{name}()"))
        if kind == 0:
            code = f"{name} = {total}\n"
            values[-1] = (i_module, name, name)
        elif kind == 1:
            code = f"def {name}():\n    return {total}\n"
        elif kind == 2:
            code = f"def {name}():\n{inner}    return {inner_total}\n"
        elif kind == 3:
            code = f"def {name}(x={total}):\n    return x\n"
        elif kind == 4:
            code = (
                f"class {name}:\n    a = 0\n    def f(self):\n        return {total}\n"
            )
            values[-1] = (i_module, name, f"{name}().f()")
        elif kind == 5:
            code = f"{name} = {{}}\ndef _{name}():\n    return {total}\n"
            code += f"{name}['f'] = _{name}\n"
            values[-1] = (i_module, name, f"{name}['f']()")
        elif kind == 6:
            code = f"def _{name}(f):\n    return lambda: f() + {total}\n"
            code += f"@_{name}\ndef {name}():\n    return 0\n"
        else:
            code = f"if True:\n    {name} = lambda: {total}\n"
        texts[i_module].append(code)
    files = {f"pkg/m{i}.py": "".join(parts) for i, parts in texts.items()}
    where, name, value = rng.choice(values[8:])
    stage = f"from pkg.m{where} import {name}\ndef run():\n    return {value}\n"
    return files | {"scripts/stage.py": f"{stage}RESULT = run()\n"}


def result(project, monkeypatch):
    """The result of the stage."""
    with monkeypatch.context() as context:
        context.setattr(sys, "path", [str(project), *sys.path])
        importlib.invalidate_caches()
        try:
            return runpy.run_path(str(project / "scripts/stage.py"))["RESULT"]
        finally:
            for name in [m for m in sys.modules if m.split(".")[0] == "pkg"]:
                del sys.modules[name]


def test_no_change_of_a_result_is_missed_in_random_projects(project, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    n_different = n_same = 0
    for seed in range(12):
        files = random_project(random.Random(seed))
        write(project, files)
        first, before = result(project, monkeypatch), fingerprint("stage", project)
        for name, text in files.items():
            for number in re.finditer(r"\b1\d\d\b", text):
                new = f"{text[: number.start()]}9{number[0]}{text[number.end() :]}"
                (project / name).write_text(new)
                is_stale = fingerprint("stage", project) != before
                is_different = result(project, monkeypatch) != first
                assert is_stale or not is_different, (seed, name, number[0])
                n_different += is_different
                n_same += not is_stale
            (project / name).write_text(text)
    assert n_different > 50
    assert n_same > 50
