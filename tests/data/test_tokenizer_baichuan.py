"""A folder with Baichuan's tokenizer, which TransNormerLLM has: the published slow class's ids without its code."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path

import pytest

from tunesmith.data.tokenizer import TextTokenizer

spm = pytest.importorskip("sentencepiece", reason="the library is only used to compare")

SPECIAL = re.compile("(<unk>|<s>|</s>)")
IDS = {"<unk>": 0, "<s>": 1, "</s>": 2}
FLAGS = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
SETTINGS = {
    "add_bos_token": False,
    "add_eos_token": False,
    "auto_map": {"AutoTokenizer": ["tokenization_baichuan.BaiChuanTokenizer", None]},
    **{f"{role}_token": {**FLAGS, "content": text} for role, text in zip(("unk", "bos", "eos"), IDS, strict=True)},
    "clean_up_tokenization_spaces": False,
    "tokenizer_class": "BaiChuanTokenizer",
}
WORDS = [
    "Human:",
    "Assistant:",
    "你好",
    "世界",
    "tea",
    "a",
    "small",
    "model",
    "12",
    "小模型",
    "ship",
    "答案",
    "问题？",
    "def f(x):",
]
ATOMS = [
    *WORDS,
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\n\n",
    "\r\n",
    "😀",
    "👍🏽",
    "龘",
    "é",
    "\u3000",
    "<s>",
    "</s>",
    "<unk>",
    "<SEP>",
]
ATOMS += ["<|im_start|>", "<|im_end|>", "</", "▁", "，", "_", "\x07"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer with the switches of Baichuan-7B's, in a folder as it is published."""
    draw, target = random.Random(0), io.BytesIO()
    lines = [" ".join(draw.choices(WORDS, k=8)) + "，" + "".join(draw.choices(WORDS, k=5)) for _ in range(400)]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=target, model_type="bpe", vocab_size=460, byte_fallback=True,
        character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, user_defined_symbols=["<SEP>", "<CLS>", "\n", "1", "2"], minloglevel=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("baichuan")
    (folder / "tokenizer.model").write_bytes(target.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps(SETTINGS))
    return folder


def published(library: object, text: str) -> list[int]:
    """The ids of the slow class: special tokens are cut out first, each stretch between them is a text of its own."""
    parts = [part for part in SPECIAL.split(text) if part]
    return [number for part in parts for number in ([IDS[part]] if part in IDS else library.encode(part))]


def test_ids_and_texts_are_those_of_the_published_class(folder: Path) -> None:
    ours = TextTokenizer.load(folder)
    library = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    draw = random.Random(1)
    texts = ["", "\n", " a", "   a", "a ", "Human:\n你好\nAssistant:\n", "a</s>b", "</s> a", "</s></s>", "x <unk> y"]
    texts += ["".join(draw.choices(ATOMS, k=draw.randint(1, 12))) for _ in range(1500)]
    for text in texts:
        ids = ours.encode(text)
        assert ids == published(library, text), repr(text)
        assert ours.decode(ids) == library.decode([number for number in ids if number not in IDS.values()]), repr(text)
        if not SPECIAL.search(text):
            assert ours.decode(ids) == text.replace("▁", " ")


def test_what_the_folder_says(folder: Path) -> None:
    tokenizer = TextTokenizer.load(folder)
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    assert tokenizer.chat_template is None and "pad_token" not in tokenizer.special
    assert 1 not in tokenizer.encode("Human:") and tokenizer.decode(tokenizer.encode("Human:\n")) == "Human:\n"
    assert tokenizer.decode(tokenizer.plain().encode("a</s>b")) == "a</s>b"  # what somebody types
