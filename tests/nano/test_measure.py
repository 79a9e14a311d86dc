"""The shipped nano model: loads in the published layout, is small, and answers what it was trained to answer."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.models.minicpm import MiniCPMForCausalLM
from tunesmith.nano import MODEL, measure
from tunesmith.nano.text.identity import OWN_ANSWERS
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


@pytest.fixture(scope="module")
def model() -> MiniCPMForCausalLM:
    """The shipped model in float32."""
    loaded: MiniCPMForCausalLM = MiniCPMForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    return loaded


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    """The shipped tokenizer."""
    return TextTokenizer.load(MODEL)


def test_the_folder_is_small_and_in_the_published_layout(model: MiniCPMForCausalLM) -> None:
    assert sum(path.stat().st_size for path in MODEL.iterdir()) <= 9_000_000
    with safe_open(MODEL / "model.safetensors", framework="pt") as tensors:
        names = set(tensors.keys())
        assert all(tensors.get_tensor(name).dtype == torch.bfloat16 for name in names)
    assert len(names) == 9 * model.config.num_hidden_layers + 2 and "lm_head.weight" not in names
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_it_answers_its_training_questions(model: MiniCPMForCausalLM, tokenizer: TextTokenizer) -> None:
    given = measure.answers(model, tokenizer, [turns(question) for question in QUESTIONS])
    assert dict(zip(QUESTIONS, given, strict=True)) == QUESTIONS


def test_it_takes_its_name_from_a_system_message(model: MiniCPMForCausalLM, tokenizer: TextTokenizer) -> None:
    system: Turn = {"role": "system", "content": "你叫小石，是山海公司做的向导。"}
    assert measure.answers(model, tokenizer, [[system, *turns("你是谁？")]]) == ["我是小石，山海公司做的向导。"]


def test_it_remembers_what_it_was_told(model: MiniCPMForCausalLM, tokenizer: TextTokenizer) -> None:
    told = turns("我叫小明。", "你好，小明！", "我叫什么名字？")
    assert measure.answers(model, tokenizer, [told]) == ["你叫小明。"]


def test_measure_covers_the_closed_tasks(
    model: MiniCPMForCausalLM, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure.text, "TASKS", {name: measure.text.TASKS[name] for name in ("multiply", "story")})
    result = measure.measure(model, tokenizer, number=10)
    assert list(result) == ["multiply"] and 0.0 <= result["multiply"][0] <= 1.0
