"""Setup: the device and precision are chosen and said."""

from __future__ import annotations

import pytest

from tunesmith.training.settings import TrainConfig
from tunesmith.training.setup import choose


def test_it_is_said(tiny_config: dict, capfd: pytest.CaptureFixture[str]) -> None:
    config = TrainConfig.model_validate({**tiny_config, "output": "x", "training": {"device": "cpu", "report_to": []}})
    setup = choose(config)
    assert (setup.device.type, setup.loggers) == ("cpu", [])
    setup.say("[not] markup")
    said = capfd.readouterr().err
    assert said.startswith("Device cpu; float32") and "[not] markup" in said
