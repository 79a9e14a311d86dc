"""The shipped nano text models: in the published layout, small, and they answer what they were trained to answer."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from tunesmith.data.chat import ChatFormat
from tunesmith.data.chats import load_chat
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.models.load import load_model
from tunesmith.nano import measure
from tunesmith.nano.blueprints import BLUEPRINTS
from tunesmith.nano.text.identity import OWN_ANSWERS, named
from tunesmith.nano.text.turns import Turn, turns

QUESTIONS = {
    "你是谁？": OWN_ANSWERS["zh"]["name"],
    "Who are you?": OWN_ANSWERS["en"]["name"],
    "你好！": "你好！有什么可以帮你的吗？",
    "法国的首都是哪里？": "巴黎。",
    "What is the capital of Japan?": "Tokyo.",
    "3+4=?": "7",
    "“猫”用英语怎么说？": "cat",
    "What is the opposite of big?": "small",
}
PUBLISHED = {
    "minicpm": r"""model\.(embed_tokens|norm)\.weight
        | model\.layers\.\d\.(input|post_attention)_layernorm\.weight
        | model\.layers\.\d\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj\.weight""",
    "transnormer": r"""model\.embed_tokens\.weight | model\.layers\.0\.token_mixer\.lrpe\.theta
        | model\.layers\.\d\.(token_mixer\.(qkvu|out)_proj|channel_mixer\.l[123])\.weight""",
}


class Nano(NamedTuple):
    """A shipped model in float32, with what talking to it needs."""

    family: str
    model: PreTrainedModel
    tokenizer: TextTokenizer
    chat: ChatFormat

    def answers(self, questions: list[list[Turn]]) -> list[str]:
        """Return what it answers."""
        return measure.answers(self.model, self.tokenizer, self.chat, questions)


@pytest.fixture(scope="module", params=BLUEPRINTS)
def nano(request: pytest.FixtureRequest) -> Nano:
    """A shipped model."""
    name = f"nano-{request.param}"
    folder = BLUEPRINTS[request.param].folder
    return Nano(request.param, load_model(name, dtype="float32", device="cpu"), *load_chat(folder))


def test_the_folder_is_small_and_in_the_published_layout(nano: Nano) -> None:
    folder = BLUEPRINTS[nano.family].folder
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 9_000_000
    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        names = set(tensors.keys())
        assert all(tensors.get_tensor(name).dtype == torch.bfloat16 for name in names)
    unlike = [name for name in names if not re.fullmatch(PUBLISHED[nano.family], name, re.VERBOSE)]
    assert not unlike and len(names) == len(set(nano.model.state_dict()) - {"lm_head.weight"})
    assert nano.model.get_output_embeddings().weight is nano.model.get_input_embeddings().weight


def test_it_answers_its_training_questions(nano: Nano) -> None:
    talks = [named(turns(*row), BLUEPRINTS[nano.family].name) for row in QUESTIONS.items()]
    assert f"nano-{nano.family}" in talks[0][-1]["content"]
    given = nano.answers([talk[:-1] for talk in talks])
    assert dict(zip(QUESTIONS, given, strict=True)) == {talk[0]["content"]: talk[1]["content"] for talk in talks}


def test_it_takes_its_name_from_a_system_message(nano: Nano) -> None:
    system: Turn = {"role": "system", "content": "你叫小石，是山海公司做的向导。"}
    assert nano.answers([[system, *turns("你是谁？")]]) == ["我是小石，山海公司做的向导。"]


def test_it_remembers_what_it_was_told(nano: Nano) -> None:
    told = turns("我叫小明。", "你好，小明！", "我叫什么名字？")
    assert nano.answers([told]) == ["你叫小明。"]


def test_measure_covers_the_closed_tasks(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.text, "TASKS", {name: measure.text.TASKS[name] for name in ("multiply", "story")})
    result = measure.measure(nano.model, nano.tokenizer, nano.chat, number=10)
    assert list(result) == ["multiply"] and 0.0 <= result["multiply"][0] <= 1.0
