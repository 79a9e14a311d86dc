"""What the documents say is true: keys and defaults, configurations, commands, links; and both languages agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tunesmith import config
from tunesmith.cli import VERBS
from tunesmith.training.objectives.dpo import Config as DpoConfig
from tunesmith.training.objectives.kto import Config as KtoConfig
from tunesmith.training.objectives.orpo import Config as OrpoConfig
from tunesmith.training.objectives.sft import Config as SftConfig
from tunesmith.training.settings import DataSettings, DistributedSettings, TrainConfig, TrainingSettings
from tunesmith.tuning.full import Config as FullConfig
from tunesmith.tuning.lora import Config as LoraConfig
from tunesmith.tuning.qlora import Config as QloraConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PAIRS = [
    "README.md",
    "docs/guide.md",
    "docs/data.md",
    "docs/configuration.md",
    "docs/distributed.md",
    "docs/evaluation.md",
    "docs/migrating.md",
    "docs/export.md",
]
SECTIONS = {
    "": TrainConfig,
    "data.": DataSettings,
    "tuning.": LoraConfig,
    "objective.": SftConfig,
    "training.": TrainingSettings,
    "distributed.": DistributedSettings,
}


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced code of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def chinese(page: str) -> str:
    return page.replace(".md", ".zh-CN.md")


def schema_rows() -> dict[str, tuple[str, set[str]]]:
    """Return key -> (default as in YAML, other names) of every setting."""
    rows = {}
    for prefix, section in SECTIONS.items():
        more = {**FullConfig.model_fields, **QloraConfig.model_fields} if prefix == "tuning." else {}
        if prefix == "objective.":
            more = {**DpoConfig.model_fields, **KtoConfig.model_fields, **OrpoConfig.model_fields}
        for name, field in {**more, **section.model_fields}.items():
            if section is TrainConfig and name in {"data", "tuning", "objective", "training", "distributed"}:
                continue
            default = "" if field.default is PydanticUndefined else config.dump(_One(value=field.default))
            default = default.removeprefix("value:").strip()
            others = set(getattr(field.validation_alias, "choices", [])) - {name}
            rows[f"{prefix}{name}"] = (default, others)
    return rows


class _One(BaseModel):
    value: object


@pytest.mark.parametrize("page", ["docs/configuration.md", "docs/configuration.zh-CN.md"])
def test_every_setting_is_documented(page: str) -> None:
    rows = {}
    for line in (ROOT / page).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            rows[cells[0].strip("`")] = (cells[1].strip("`"), set(re.findall(r"`(\w+)`", cells[2])))
            assert cells[3], f"{cells[0]} has no meaning"
    assert rows == schema_rows()


@pytest.mark.parametrize("page", names(PAGES))
def test_configurations_are_valid(page: str) -> None:
    for text in blocks(page, "yaml"):
        file = {"output": "runs/x", "model": "x", "data": {"train": "x"}}
        tree, _ = config.text.parse(text)
        config.read(TrainConfig, {**file, **tree})


@pytest.mark.parametrize("page", names(PAGES))
def test_commands_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in "\n".join(blocks(page, "bash")).splitlines():
        words = line.split("#")[0].split()
        while words and "=" in words[0]:
            words.pop(0)
        if words and words[0] == "make":
            assert set(words[1:]) <= targets, line
        elif words and words[0].rpartition("/")[2] == "tunesmith":
            assert words[1] in VERBS or " ".join(words[1:3]) in VERBS, line
            for word in words:
                assert not word.endswith((".yaml", ".json")) or "my" in word or (ROOT / word).is_file(), line


@pytest.mark.parametrize("page", names(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text("utf-8")):
        assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAIRS)
def test_languages_agree(page: str) -> None:
    for language in ("bash", "yaml", "python", "json", "text"):
        code = [[re.sub(r"\s*#.*", "", text) for text in blocks(name, language)] for name in (page, chinese(page))]
        assert code[0] == code[1], language


def test_readme_python_runs(tmp_path: Path) -> None:
    (code,) = blocks("README.md", "python")
    short = f'"output={tmp_path / "run"}", "training.steps=2", "training.verify=false"'
    assert '"output=runs/mine"' in code
    code = code.replace('"output=runs/mine"', short)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_guide_runs(tmp_path: Path) -> None:
    (data,), (settings,) = blocks("docs/guide.md", "json"), blocks("docs/guide.md", "yaml")
    (tmp_path / "my.json").write_text(data, "utf-8")
    (tmp_path / "my.yaml").write_text(settings, "utf-8")
    command = [sys.executable, "-m", "tunesmith", "train", "my.yaml", "training.steps=2", "training.verify=false"]
    where = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine" / "adapter" / "adapter_config.json").is_file()
