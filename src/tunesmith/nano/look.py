"""The first stage of the nano MiniCPM-V: tower and resampler learn to see before a language model listens to them.

Linear heads on the resampler's rows say what is in a picture: colours, shapes, places, and what is where. They are kept
while the language model learns to listen, and then thrown away. Trained without them, the language model at first
learns to answer without looking, and the vision side hardly learns.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..data.images import normalise, slices
from ..data.slicing import Slicing
from ..models.minicpmv import MiniCPMVForCausalLM
from .pictures import draw
from .pictures.glyphs import DIGITS, LETTERS
from .pictures.scene import Scene
from .pictures.words import BACKGROUNDS, COLOURS, PLACES, SHAPES

ROWS = 32
"""Pictures a step."""
_KINDS = (*SHAPES, "letter", "digit")
FACTS = tuple(
    [f"background {one}" for one in BACKGROUNDS]
    + [f"{one} things" for one in range(1, 6)]
    + [*COLOURS, *_KINDS, *LETTERS, *DIGITS, *PLACES]
    + [f"{place} {one}" for place in PLACES for one in (*COLOURS, *_KINDS)]
)
"""What the heads are asked about a picture. Not colour with shape: a pair that is held out would never be true."""


def facts(scene: Scene) -> set[str]:
    """Return which of `FACTS` hold in a scene."""
    found = {f"background {scene.background}", f"{len(scene.things)} things"}
    for thing in scene.things:
        found |= {thing.colour, thing.shape, thing.glyph, thing.place}
        found |= {f"{thing.place} {thing.colour}", f"{thing.place} {thing.shape}"}
    return found & set(FACTS)


class Looking:
    """The heads, and the endless pictures that they are asked about; a function of the seed."""

    def __init__(self, model: MiniCPMVForCausalLM, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = model
        self.heads = nn.Linear(model.config.hidden_size, len(FACTS))
        nn.init.constant_(self.heads.bias, -5.0)  # most facts do not hold
        self.seed, self.step = seed, 0
        self.slicing = Slicing.of(model.config.to_dict())
        self._number = {fact: place for place, fact in enumerate(FACTS)}

    def pictures(self, rows: int) -> tuple[list[Tensor], Tensor]:
        """Return the next pictures, each as the tower gets its overview, and their facts (B, facts)."""
        pixels, facts_BF = [], torch.zeros(rows, len(FACTS))
        for row in range(rows):
            scene, picture = draw(f"{self.seed} look {self.step} row {row}")
            pixels.append(torch.from_numpy(normalise(slices(picture, self.slicing)[0])))
            facts_BF[row, [self._number[fact] for fact in facts(scene)]] = 1.0
        self.step += 1
        return pixels, facts_BF

    def loss(self, rows: int = ROWS) -> tuple[Tensor, float]:
        """Return the loss of the next pictures (nats a picture), and the share of them with all facts right.

        A fact holds if some row of a picture says so, whichever it is: attention can find that row later.
        """
        pixels, facts_BF = self.pictures(rows)
        logits_BF = self.heads(self.model.seen(pixels)).logsumexp(1)
        right = float(((logits_BF > 0) == (facts_BF > 0)).all(1).float().mean())
        return binary_cross_entropy_with_logits(logits_BF, facts_BF, reduction="sum") / rows, right


def learn_to_see(looking: Looking, steps: int, rate: float) -> dict[str, Any]:
    """Train tower and resampler in place, for `steps` steps, and return what was done."""
    model, heads = looking.model, looking.heads
    seeing = [*model.vpm.parameters(), *(one for one in model.resampler.parameters() if one.requires_grad)]
    learning = [*seeing, *heads.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=rate, betas=(0.9, 0.98), weight_decay=0.05)
    console, began, average, right = Console(), time.monotonic(), 0.0, 0.0
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(step / 50, 0.6 + 0.4 * math.cos(math.pi * step / steps))
        loss, share = looking.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        value = float(loss.detach())
        average = 0.98 * average + 0.02 * value if average else value
        right = 0.98 * right + 0.02 * share
        if step % 50 == 0:
            console.print(f"look {step:5d}  loss {average:.3f}  all facts right {right:.0%}  "
                          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    return {"looks": steps * ROWS, "look_seconds": time.monotonic() - began, "look_loss": average}
