"""Setup: the device and precision are chosen and said."""

from __future__ import annotations

import pytest
import torch

from tunesmith.models.weights import fingerprint
from tunesmith.training import setup
from tunesmith.training.arguments import Precision
from tunesmith.training.distributed.ranks import Ranks
from tunesmith.training.settings import TrainConfig
from tunesmith.training.setup import choose, conditions


def test_it_is_said(tiny_config: dict, capfd: pytest.CaptureFixture[str]) -> None:
    config = TrainConfig.model_validate({**tiny_config, "output": "x", "training": {"device": "cpu", "report_to": []}})
    chosen = choose(config)
    assert (chosen.device.type, chosen.loggers) == ("cpu", [])
    chosen.say("[not] markup")
    said = capfd.readouterr().err
    assert said.startswith("Device cpu; float32") and "[not] markup" in said


def test_what_decides_about_the_last_bits_is_known(tiny_config: dict) -> None:
    config = TrainConfig.model_validate({**tiny_config, "output": "x"})
    found = conditions(config, torch.device("cpu"))
    assert found["model"] == fingerprint(config.model) and found["device"] == "cpu"
    assert found["threads"] == torch.get_num_threads() and found["instructions"]


def test_only_rank_0_talks(tiny_config: dict, capfd: pytest.CaptureFixture[str]) -> None:
    training = {"device": "cpu", "report_to": [], "batch_size": 2, "gradient_accumulation_steps": 3}
    config = TrainConfig.model_validate({**tiny_config, "output": "x", "training": training})
    choose(config, Ranks(rank=1, world=2))
    assert capfd.readouterr().err == ""
    assert choose(config, Ranks(world=2, notes=("a note",))).ranks.world == 2
    said = capfd.readouterr().err
    assert "2 ranks; the model is whole on each (DDP). A step has 12 rows." in said and "a note" in said
    choose(
        config.model_copy(update={"training": config.training.model_copy(update={"batch_tokens": 4096})}),
        Ranks(world=2),
    )
    assert "A step has 6 batches of at most 4,096 tokens." in capfd.readouterr().err


def test_idle_gpus_are_said(
    tiny_config: dict, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig.model_validate({**tiny_config, "output": "x"})
    monkeypatch.setattr(setup, "choose_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(setup, "choose_precision", lambda *_: Precision(torch.float32, torch.float32, "why"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    choose(config)
    assert "2 more GPUs are idle; distributed.processes=auto uses all of them" in capfd.readouterr().err
