"""The rules of the house, read from the syntax trees of src/: each check is a function that lists what breaks it.

Every check is run twice: on the project, where it must find nothing, and on a made-up project that breaks it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "tunesmith"
FILE_LINES, FUNCTION_LINES, PARAMETERS = 400, 80, 6

# A part imports only parts of a lower layer; parts of one layer do not know each other. docs/architecture.md says why.
LAYERS = (
    ("errors",),
    ("lookup", "options"),
    ("config", "runs", "locate", "hub"),
    ("data", "ops", "aside"),
    ("models",),
    ("edges",),
    ("tuning", "plan"),
    ("generate",),
    ("training", "eval", "export", "adapters", "serve", "studio", "download"),
    ("report",),
    ("nano", "compat", "bench"),
    ("cli",),
    ("__main__", "__init__"),
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}

# Who may import a third party. What is not listed here belongs into a file of its own under edges/.
THIRD_PARTIES = {
    "PIL": (
        "data/images.py",
        "data/show/pictures.py",
        "nano/*",
    ),
    "huggingface_hub": ("models/minicpm.py", "models/minicpmv.py", "models/transnormer_config.py", "locate.py"),
    "jinja2": ("data/template.py",),
    "matplotlib": ("bench/plot.py", "training/plot.py", "report/figures.py"),
    "numpy": ("data/*", "eval/*", "training/rows.py", "nano/*"),
    "peft": (
        "adapters/merge.py",
        "bench/sides/plain.py",
        "tuning/lora.py",
        "tuning/fused.py",
        "models/adapter.py",
        "models/load.py",
        "models/trained.py",
    ),
    "pyarrow": ("data/rows.py", "data/sources/tables.py", "data/sources/unpack.py"),
    "pydantic": ("config/*", "training/settings.py", "training/objectives/*", "tuning/*"),
    "rich": (
        "adapters/command.py",
        "bench/*",
        "cli.py",
        "data/*/command.py",
        "data/check/report.py",
        "data/show/*",
        "download/*",
        "eval/*",
        "export/command.py",
        "export/run.py",
        "generate/*",
        "training/*",
        "nano/*",
        "report/*",
    ),
    "safetensors": ("models/*", "export/*", "training/*", "nano/*"),
    "tokenizers": ("data/*", "export/vocabulary.py", "nano/*"),
    "torch": (
        "adapters/*",
        "bench/*",
        "data/*",
        "ops/*",
        "models/*",
        "tuning/*",
        "eval/*",
        "generate/*",
        "export/*",
        "training/*",
        "nano/*",
        "report/*",
    ),
    "transformers": (
        "bench/*",
        "models/*",
        "tuning/*",
        "eval/*",
        "generate/*",
        "export/*",
        "training/*",
        "nano/*",
        "report/*",
    ),
    "typer": ("cli.py", "*/command.py", "nano/demo.py", "nano/stage.py"),
    "yaml": ("config/text.py",),
}
# transformers reads these names from the signature of a model's forward, so they are not counted there.
FORWARD_NAMES = {"input_ids", "attention_mask", "position_ids", "past_key_values", "inputs_embeds", "labels"}
FORWARD_NAMES |= {"pixel_values", "image_bound"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "engine"}
PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# What has no behaviour of its own: it is tested through those who use it.
WITHOUT_OWN_TEST = {"*__init__.py", "__main__.py", "data/types.py"}


@dataclass(frozen=True)
class Source:
    """One source file; `path` as "data/chat.py", `name` as "data.chat" ("" for the package's own __init__)."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("__init__").rstrip("/").replace("/", ".")

    @property
    def part(self) -> str:
        return self.name.split(".")[0] or "__init__"


@dataclass(frozen=True)
class Project:
    """Source files and the paths of test files (relative to tests/)."""

    sources: tuple[Source, ...]
    tests: frozenset[str] = frozenset()

    @classmethod
    def of(cls, files: Mapping[str, str], tests: frozenset[str] = frozenset()) -> Project:
        return cls(tuple(Source(path, text, ast.parse(text)) for path, text in files.items()), tests)

    @classmethod
    def here(cls) -> Project:
        folder = ROOT / "src" / PACKAGE
        files = {str(file.relative_to(folder)): file.read_text("utf-8") for file in sorted(folder.rglob("*.py"))}
        return cls.of(
            files, frozenset(str(file.relative_to(ROOT / "tests")) for file in (ROOT / "tests").rglob("*.py"))
        )

    def imports(self, source: Source) -> Iterator[tuple[int, str, bool]]:
        """Yield (line, module, own) of every import: inside functions and under TYPE_CHECKING too."""
        known = {other.name for other in self.sources}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    own = alias.name.split(".")[0] == PACKAGE
                    yield node.lineno, alias.name.removeprefix(PACKAGE).lstrip(".") if own else alias.name, own
            elif isinstance(node, ast.ImportFrom):
                above = source.name.split(".") if source.path.endswith("__init__.py") else source.name.split(".")[:-1]
                start = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
                module = ".".join(filter(None, (start, node.module or "")))
                own = bool(node.level) or module.split(".")[0] == PACKAGE
                module = module if node.level or not own else module.removeprefix(PACKAGE).lstrip(".")
                for alias in node.names:
                    deeper = f"{module}.{alias.name}".lstrip(".")
                    if own and not module and alias.name == "__version__":
                        continue
                    yield node.lineno, deeper if own and deeper in known else module, own


def one_way(project: Project) -> Iterator[str]:
    """Imports run one way: only to lower layers."""
    for source in project.sources:
        if source.part not in RANK:
            yield f"{source.path}: '{source.part}' has no layer; give it one in LAYERS and in docs/architecture.md"
            continue
        for line, target, own in project.imports(source):
            part = target.split(".")[0] or "__init__"
            if own and part != source.part and RANK.get(part, len(LAYERS)) >= RANK[source.part]:
                yield f"{source.path}:{line}: '{source.part}' must not import '{target or PACKAGE}' (same layer or above)"


def no_cycles(project: Project) -> Iterator[str]:
    """No file imports itself through others."""
    edges = {source.name: {target for _, target, own in project.imports(source) if own} for source in project.sources}
    for start, targets in edges.items():
        seen: set[str] = set()
        todo = list(targets)
        while todo:
            name = todo.pop()
            if name == start and start:
                yield f"{start.replace('.', '/')}: imports itself through {sorted(seen) or 'nothing else'}"
                break
            if name not in seen:
                seen.add(name)
                todo += edges.get(name, ())


def data_knows_no_models(project: Project) -> Iterator[str]:
    """`data` is independent of transformers and peft."""
    for source in project.sources:
        for line, target, own in project.imports(source):
            if source.part == "data" and not own and target.split(".")[0] in {"transformers", "peft", "accelerate"}:
                yield f"{source.path}:{line}: data must not import {target}"


def third_parties(project: Project) -> Iterator[str]:
    """Each third party is imported where THIRD_PARTIES says, or in one file under edges/."""
    for source in project.sources:
        for line, target, own in project.imports(source):
            party = target.split(".")[0]
            if own or party in sys.stdlib_module_names or source.part == "edges":
                continue
            if not any(fnmatch(source.path, pattern) for pattern in THIRD_PARTIES.get(party, ())):
                places = ", ".join(THIRD_PARTIES.get(party, ("a file of its own under edges/",)))
                yield f"{source.path}:{line}: imports {party}, which belongs into {places}"


def edges_have_one_importer(project: Project) -> Iterator[str]:
    """Each file under edges/ is imported by exactly one other file."""
    for edge in project.sources:
        if edge.part == "edges" and not edge.path.endswith("__init__.py"):
            importers = [s.path for s in project.sources if any(edge.name == name for _, name, _ in project.imports(s))]
            if len(importers) != 1:
                yield f"{edge.path}: imported by {importers or 'nobody'}; exactly one file may"


def sizes(project: Project) -> Iterator[str]:
    """Files, functions and parameter lists stay small."""
    for source in project.sources:
        if (lines := len(source.text.splitlines())) > FILE_LINES:
            yield f"{source.path}: {lines} lines (at most {FILE_LINES})"
        for node in ast.walk(source.tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{source.path}:{node.lineno}: {node.name} has {length} lines (at most {FUNCTION_LINES})"
            names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            names = names[names[:1] in (["self"], ["cls"]) :]
            if node.name == "forward" and source.part == "models":
                names = [name for name in names if name not in FORWARD_NAMES]
            if len(names) > PARAMETERS:
                yield f"{source.path}:{node.lineno}: {node.name} has {len(names)} parameters (at most {PARAMETERS})"


def telling_names(project: Project) -> Iterator[str]:
    """No file or folder is a drawer for anything: utils, helpers, common, manager, base, engine."""
    for source in project.sources:
        for word in re.split(r"[/_.]", source.path):
            if word in VAGUE_NAMES:
                yield f"{source.path}: '{word}' says nothing; name what is in it"


def errors_are_not_swallowed(project: Project) -> Iterator[str]:
    """No bare `except:`, and nobody catches everything only to go on."""
    for source in project.sources:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = [ast.unparse(kind) for kind in getattr(node.type, "elts", [node.type]) if kind is not None]
            idle = all(ast.unparse(step) in {"pass", "continue", "..."} for step in node.body)
            if node.type is None:
                yield f"{source.path}:{node.lineno}: bare except; name what can happen"
            elif idle and {"Exception", "BaseException"} & set(caught):
                yield f"{source.path}:{node.lineno}: every error is swallowed"


def nothing_foreign_is_patched(project: Project) -> Iterator[str]:
    """Third parties are called, never patched: no attribute of an imported foreign name is set or deleted."""
    for source in project.sources:
        foreign = set()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                foreign |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] != PACKAGE:
                foreign |= {alias.asname or alias.name for alias in node.names}
        for node in ast.walk(source.tree):
            targets: list[ast.expr] = []
            if isinstance(node, (ast.Assign, ast.Delete)):
                targets = list(node.targets)
            elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
                targets = [node.target]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"setattr", "delattr"} and node.args:
                targets = [ast.Attribute(node.args[0], "?", ast.Store())]
            for target in targets:
                for leaf in getattr(target, "elts", [target]):
                    text = ast.unparse(leaf)
                    if isinstance(leaf, ast.Attribute) and re.split(r"[.\[(]", text)[0] in foreign:
                        yield f"{source.path}:{node.lineno}: sets {text}, which belongs to somebody else"


def no_foreign_code(project: Project) -> Iterator[str]:
    """No code from a checkpoint is ever executed."""
    for source in project.sources:
        for line, target, own in project.imports(source):
            if not own and target.split(".")[0] in PICKLES:
                yield f"{source.path}:{line}: imports {target}, which runs code from files"
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                named = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                called = ast.unparse(node.func)
                if named.get("trust_remote_code", "False") != "False":
                    yield f"{source.path}:{node.lineno}: trust_remote_code"
                if called == "torch.load" and named.get("weights_only") != "True":
                    yield f"{source.path}:{node.lineno}: torch.load without weights_only=True"
                if called in {"eval", "exec"}:
                    yield f"{source.path}:{node.lineno}: {called}()"
            elif isinstance(node, ast.ImportFrom) and node.module == "torch" and "load" in {a.name for a in node.names}:
                yield f"{source.path}:{node.lineno}: write torch.load, so that this check sees it"


def docstrings(project: Project) -> Iterator[str]:
    """Modules and public classes and functions say what they are, in a first line that is a sentence."""

    def public(tree: ast.AST, path: str) -> Iterator[tuple[str, ast.AST]]:
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name[0] != "_":
                overload = any(
                    ast.unparse(decorator).endswith(("overload", ".setter")) for decorator in node.decorator_list
                )
                if not overload:
                    yield f"{path}:{node.lineno}: {node.name}", node
                if isinstance(node, ast.ClassDef):
                    yield from public(node, path)

    for source in project.sources:
        # the docstring of a data format begins with the shape of its records: messages to the user quote it
        own = [] if fnmatch(source.path, "data/formats/[!_]*.py") else [(source.path, source.tree)]
        for where, node in [*own, *public(source.tree, source.path)]:
            text = ast.get_docstring(node)  # type: ignore[arg-type]
            first = text.splitlines()[0] if text else ""
            if not first:
                yield f"{where}: no docstring"
            elif first[-1] not in ".!?" or not re.match(r"[\w`\"'<*]", first):
                yield f"{where}: the docstring's first line is not a sentence: {first!r}"


def mirrored(project: Project) -> Iterator[str]:
    """Each source file has a test file beside its mirror image: tests/<folder>/test_<name>*.py."""
    for source in project.sources:
        folder, _, file = source.path.rpartition("/")
        pattern = f"{folder}/test_{file.removesuffix('.py').lstrip('_')}*.py".lstrip("/")
        exempt = any(fnmatch(source.path, path) for path in WITHOUT_OWN_TEST)
        if not exempt and not any(fnmatch(test, pattern) for test in project.tests):
            yield f"{source.path}: no tests/{pattern}"


DOC = '"""A file."""\n'
LONG = "def f():\n" + "    x = 1\n" * FUNCTION_LINES
Check = Callable[[Project], Iterator[str]]
# For each check: a project that keeps the rule, and projects that break it.
EXAMPLES: dict[Check, tuple[dict[str, str], list[dict[str, str]]]] = {
    one_way: (
        {"data/a.py": "from ..errors import E\nfrom .. import lookup, __version__", "lookup.py": "", "errors.py": ""},
        [
            {"data/a.py": "from ..models import x"},
            {"data/a.py": "def f():\n    from tunesmith.ops.loss import x"},
            {"data/a.py": "if TYPE_CHECKING:\n    import tunesmith.training.run"},
            {"ops/__init__.py": "from .. import train"},
            {"runs.py": "from .config import read"},
            {"drawer/a.py": ""},
        ],
    ),
    no_cycles: (
        {"data/a.py": "from . import b", "data/b.py": "from .c import x", "data/c.py": ""},
        [
            {
                "data/a.py": "from . import b",
                "data/b.py": "from .c import x",
                "data/c.py": "def f():\n    from .a import y",
            }
        ],
    ),
    data_knows_no_models: (
        {"data/a.py": "import torch", "models/a.py": "import transformers"},
        [{"data/a.py": "from transformers import AutoTokenizer"}, {"data/b/c.py": "def f():\n    import peft.tuners"}],
    ),
    third_parties: (
        {"data/a.py": "import json, torch", "edges/trl.py": "import trl"},
        [{"data/a.py": "import trl"}, {"data/a.py": "from jinja2 import Template"}],
    ),
    edges_have_one_importer: (
        {"edges/trl.py": "", "training/a.py": "from ..edges import trl"},
        [
            {"edges/trl.py": ""},
            {"edges/trl.py": "", "eval/a.py": "from ..edges import trl", "plan/a.py": "from ..edges.trl import x"},
        ],
    ),
    sizes: (
        {"a.py": "class A:\n    def f(self, a, b, c, d, e, *, f, **more): ..."},
        [{"a.py": "x = 1\n" * (FILE_LINES + 1)}, {"a.py": LONG}, {"a.py": "def f(a, b, c, d, e, f, *, g): ..."}],
    ),
    telling_names: (
        {"data/database.py": "", "models/rebase.py": ""},
        [{"utils.py": ""}, {"data/text_helpers.py": ""}, {"engine/a.py": ""}],
    ),
    errors_are_not_swallowed: (
        {"a.py": "try: f()\nexcept OSError: pass\ntry: f()\nexcept Exception as e: raise E() from e"},
        [
            {"a.py": "try: f()\nexcept: raise"},
            {"a.py": "try: f()\nexcept Exception: pass"},
            {"a.py": "try: f()\nexcept (OSError, BaseException): ..."},
        ],
    ),
    nothing_foreign_is_patched: (
        {"a.py": "import torch\nfrom .b import C\nself.x = torch.zeros(1)\nC.x = 1\nx = torch\nos.environ['A'] = ''"},
        [
            {"a.py": "import torch\ntorch.backends.cudnn.enabled = False"},
            {"a.py": "from transformers import Trainer as T\nT.step, x = f, 1"},
            {"a.py": "def f():\n    import peft\n    setattr(peft, 'x', 1)"},
        ],
    ),
    no_foreign_code: (
        {"a.py": "torch.load(f, weights_only=True)\nmodel.eval()\nload(trust_remote_code=False)"},
        [
            {"a.py": "import pickle"},
            {"a.py": "torch.load(f)"},
            {"a.py": "torch.load(f, weights_only=False)"},
            {"a.py": "from torch import load"},
            {"a.py": "load(x, trust_remote_code=True)"},
            {"a.py": "exec(text)"},
        ],
    ),
    docstrings: (
        {"a.py": DOC + 'def f():\n    """Return 1."""\ndef _g(): ...\nclass _A:\n    def f(self): ...'},
        [{"a.py": ""}, {"a.py": '"""No stop"""'}, {"a.py": DOC + "def f(): ..."}, {"a.py": DOC + "class A: ..."}],
    ),
    mirrored: ({"__init__.py": "", "data/kept.py": ""}, [{"data/lost.py": ""}, {"kept.py": ""}]),
}


@pytest.mark.parametrize("check", EXAMPLES, ids=lambda check: check.__name__)
def test_rule(check: Check) -> None:
    broken = list(check(Project.here()))
    assert not broken, f"{check.__doc__}\n" + "\n".join(broken)


@pytest.mark.parametrize("check", EXAMPLES, ids=lambda check: check.__name__)
def test_rule_can_fail(check: Check) -> None:
    good, bad = EXAMPLES[check]
    tests = frozenset({"data/test_kept_well.py"})
    assert list(check(Project.of(good, tests))) == []
    for files in bad:
        assert list(check(Project.of(files, tests))), files


def test_third_party_table_is_in_use() -> None:
    project = Project.here()
    used = {target.split(".")[0] for source in project.sources for _, target, own in project.imports(source) if not own}
    assert set(THIRD_PARTIES) <= used, "not imported any more: take it out of THIRD_PARTIES and of pyproject.toml"
