"""What holds for the package as a whole: it starts fast, names no machine, and its lists of libraries agree."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def heavy_modules(code: str) -> set[str]:
    """Run `code` in a new interpreter and return which heavy libraries it has imported."""
    heavy = "torch transformers peft tokenizers matplotlib numpy"
    tail = f"\nimport sys; print('LOADED', *[name for name in '{heavy}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + tail], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


HELP = """
import runpy, sys
sys.argv = ["tunesmith", "--help"]
try:
    runpy.run_module("tunesmith", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
"""


def test_heavy_modules_are_noticed() -> None:
    assert "torch" in heavy_modules("import tunesmith.ops.loss")


@pytest.mark.parametrize("code", ["import tunesmith", HELP], ids=["import", "help"])
def test_start_is_light(code: str) -> None:
    assert heavy_modules(code) == set()


def machine_paths(text: str, places: tuple[str, ...]) -> list[str]:
    """Return the absolute paths in `text` that exist on one person's machine only."""
    homes = r"(?<![\w.])(?:/(?:home|Users)/\w|[A-Z]:\\Users\\)[^\s'\"`]*"
    own = "|".join(rf"(?<![\w.]){re.escape(place)}(?=[/\s'\"`]|$)[^\s'\"`]*" for place in places)
    return re.findall(f"{homes}|{own}", text)


def project_files() -> list[str]:
    """Return what git tracks or would track; without git, what lies in no hidden or generated folder."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
        if listed.returncode == 0:
            return listed.stdout.splitlines()
    files = [file.relative_to(ROOT) for file in ROOT.rglob("*") if file.is_file()]
    return [str(file) for file in files if file.parts[0][0] != "." and file.parts[0] not in {"runs", "build", "dist"}]


def test_no_machine_paths() -> None:
    names = project_files()
    assert "README.md" in names
    places = tuple(place for place in {str(ROOT), str(Path.home())} if len(place) > 1)
    assert machine_paths(f"see {ROOT}/src", places)
    assert machine_paths("/ho" + "me/jo/x C:\\Us" + "ers\\jo", places)
    assert not machine_paths("data/home/x /usr/bin", places)
    found = {}
    for name in names:
        file = ROOT / name
        if file.is_file() and file.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".json", ".jsonl", ".cfg", ""}:
            paths = machine_paths(file.read_text("utf-8", errors="replace"), places)
            found.update({name: paths} if paths else {})
    assert not found, f"paths of one machine: {found}"


def test_what_is_imported_is_required_and_pinned() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    required = set(
        re.findall(r'^    "([\w-]+)>=', text.partition("dependencies = [")[2].partition("\n]")[0], re.MULTILINE)
    )
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text("utf-8").lower(), re.MULTILINE))
    files = [file for file in (ROOT / "src").rglob("*.py") if "edges" not in file.parts]  # optional: extras
    trees = [ast.parse(file.read_text("utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    used |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    parties = {name.split(".")[0] for name in used} - set(sys.stdlib_module_names)
    assert {{"yaml": "pyyaml", "PIL": "pillow"}.get(name, name) for name in parties} <= required
    assert required <= pinned


def test_class_variables_name_their_type() -> None:
    """Python 3.10 cannot resolve a bare ClassVar, and transformers resolves the annotations of every model class."""
    for file in (ROOT / "src").rglob("*.py"):
        assert not re.search(r":\s*ClassVar\s*=", file.read_text("utf-8")), f"{file}: write ClassVar[...]"
