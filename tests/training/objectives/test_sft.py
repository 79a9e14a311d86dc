"""sft has nothing to be told, and no judge: tokens are learned."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tunesmith.training.objectives import sft


def test_sft() -> None:
    assert (sft.ANSWERS, sft.REFERENCE, sft.RATE, hasattr(sft, "judge")) == ("good", False, 1.0, False)
    with pytest.raises(ValidationError):
        sft.Config(beta=0.1)
