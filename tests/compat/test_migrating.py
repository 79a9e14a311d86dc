"""docs/migrating.md and its Chinese twin: the Python runs, the commands translate, the table is the flags' own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.compat.finetune import read_settings
from tunesmith.compat.scripts import FLAGS
from tunesmith.compat.translate import translate
from tunesmith.locate import locate

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["docs/migrating.md", "docs/migrating.zh-CN.md"]
REMOTE = "import pathlib\npathlib.Path(__file__).with_name('RAN').write_text('x')\nclass MiniCPMConfig: ...\n"


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced code of a page in one language, without comments."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(r"  # .*", "", text) for text in found]


def test_both_languages_show_the_same_code() -> None:
    for language in ("bash", "python", "json", "yaml"):
        assert blocks(PAGES[0], language) == blocks(PAGES[1], language), language


@pytest.mark.parametrize("page", PAGES)
def test_the_table_is_that_of_the_flags(page: str) -> None:
    rows = {}
    for line in (ROOT / page).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2 and cells[0].startswith("`--"):
            for flag in re.findall(r"`--(\w+)", cells[0]):
                rows[flag] = cells[1]
    direct = {name: flag.key for name, flag in FLAGS.items() if flag.key}
    assert {name: text.strip("`") for name, text in rows.items() if name in direct} == direct
    assert {name for name, flag in FLAGS.items() if not (flag.key or flag.idle or flag.refused)} <= set(rows)
    assert set(rows) <= set(FLAGS)


@pytest.mark.parametrize("text", blocks(PAGES[0], "bash"))
def test_the_commands_translate(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "ds_config_zero2_offload.json").write_text("{}", "utf-8")
    words = shlex.split(text.replace("\\\n", " "))
    at = 2 if words[:2] == ["tunesmith", "finetune"] else 0  # else the module under a launcher
    model = "nano-minicpmv" if "--data_path" in words else "nano-minicpm"
    replaced = [model if word.startswith(("openbmb/", "MiniCPM-2B")) else word for word in words[at:]]
    slices = ["--max_slice_nums", "4"] if "--max_slice_nums" in replaced else []
    read_settings(translate([*replaced, *slices]))


def test_the_python_runs_as_plain_transformers_code(tmp_path: Path) -> None:
    """With a folder that brings code of its own, which must not be executed."""
    folder = tmp_path / "MiniCPM-2B-sft-bf16"
    folder.mkdir()
    for file in locate("nano-minicpm").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text("utf-8"))
    auto = {"AutoConfig": "configuration_minicpm.MiniCPMConfig", "AutoModelForCausalLM": "modeling_minicpm.X"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": auto}), "utf-8")
    for name in ("configuration_minicpm.py", "modeling_minicpm.py"):
        (folder / name).write_text(REMOTE, "utf-8")
    rows = [{"instruction": f"repeat {word}", "input": "", "output": f"{word} {word}"} for word in ("sun", "fog", "雪")]
    (tmp_path / "my.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    where = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    tutorial, chat = blocks(PAGES[0], "python")
    assert "num_train_epochs=3" in tutorial
    code = f"{tutorial.replace('num_train_epochs=3', 'num_train_epochs=30')}\n{chat}"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=tmp_path, env=where, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    taught, responds = done.stdout.strip().splitlines()[-2:]
    assert taught == "fog fog"
    assert "nano-minicpm" in responds
    assert not list(tmp_path.rglob("RAN"))
    assert (tmp_path / "output" / "adapter_model.safetensors").is_file()
