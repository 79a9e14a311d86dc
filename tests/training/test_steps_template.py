"""A chosen chat template goes with the result: what was trained is what is verified and chatted with, by no option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.chat import render
from tunesmith.data.chats import load_chat
from tunesmith.data.template import read_template
from tunesmith.data.types import Conversation, Message
from tunesmith.errors import ConfigError
from tunesmith.generate.decode import Voice
from tunesmith.generate.sampling import Sampling
from tunesmith.models.load import load
from tunesmith.training import verify as round_trip
from tunesmith.training.run import train

TALK = (Message("user", "say red"), Message("assistant", "red ok"), Message("user", "say two"))


def trained(config: dict[str, Any], run: Path, template: str | None, method: str) -> Path:
    """Train two steps with a template; return the folder of the result."""
    settings = {**config["training"], "steps": 2, "save_steps": 2}
    chosen = {"output": str(run), "chat_template": template, "tuning": {"method": method}, "training": settings}
    assert train({**config, **chosen}).state == "finished"
    return run / ("model" if method == "full" else "adapter")


@pytest.mark.parametrize(("method", "template"), [("lora", "human-assistant"), ("lora", "chatml"), ("full", "chatml")])
def test_chat_uses_the_template_of_training(method: str, template: str, tiny_config: dict, tmp_path: Path) -> None:
    folder = trained(tiny_config, tmp_path / "run", template, method)
    assert (folder / "chat_template.jinja").read_text("utf-8") == read_template(template)
    assert round_trip.compare(tmp_path / "run")["faults"] == []
    tokenizer, chat = load_chat(tiny_config["model"], template)
    row = render(Conversation((*TALK, Message("assistant", "two ok"))), chat, tokenizer).input_ids
    voice = Voice(load(tmp_path / "run", device="cpu"))
    for turns in (1, 3):
        prompt = voice.prompt(Conversation(TALK[:turns]), Sampling()).ids
        assert prompt == row[: len(prompt)]
    assert voice.stop_ids == chat.stop_ids(tokenizer) and voice.chat.stop_texts == chat.stop_texts
    other = Voice(load(tmp_path / "run", device="cpu", chat_template="minicpm"))
    assert other.tokenizer.decode(other.prompt(Conversation(TALK[:1]), Sampling()).ids) == "<用户>say red<AI>"


def test_a_lost_template_fails_the_round_trip(tiny_config: dict, tmp_path: Path) -> None:
    folder = trained(tiny_config, tmp_path / "run", "human-assistant", "lora")
    (folder / "chat_template.jinja").unlink()
    (fault,) = round_trip.compare(tmp_path / "run")["faults"]
    assert "another chat template or tokenizer" in fault


def test_without_a_choice_an_adapter_has_the_template_of_its_base(tiny_config: dict, tmp_path: Path) -> None:
    folder = trained(tiny_config, tmp_path / "run", None, "lora")
    assert not list(folder.glob("tokenizer*")) and not (folder / "chat_template.jinja").exists()
    assert round_trip.compare(tmp_path / "run")["faults"] == []


def test_a_run_is_not_resumed_with_another_template(tiny_config: dict, tmp_path: Path) -> None:
    file, run = tmp_path / "mine.jinja", tmp_path / "run"
    file.write_text(read_template("chatml"), encoding="utf-8")
    trained(tiny_config, run, str(file), "lora")
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    with pytest.raises(ConfigError, match="chat_template was .*mine.jinja.*, now 'chatml'"):
        trained(tiny_config, run, "chatml", "lora")
    file.write_text(read_template("human-assistant"), encoding="utf-8")
    with pytest.raises(ConfigError, match="began with other rows.*the template"):
        trained(tiny_config, run, str(file), "lora")


def test_an_unknown_template_ends_the_run_before_the_model_is_loaded(tiny_config: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no template 'human-asistant'; did you mean 'human-assistant'\?"):
        trained(tiny_config, tmp_path / "run", "human-asistant", "lora")
