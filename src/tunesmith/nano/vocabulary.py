"""The nano model's tokenizer: a byte-fallback BPE in the layout of the published MiniCPM files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SPECIAL = ("<unk>", "<s>", "</s>")
ROLES = dict(zip(("unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
PUNCTUATION = "，。！？、；：“”‘’（）《》【】—…·￥～×÷"
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{'<用户>' + message['content'] + '<AI>'}}"
    "{% else %}{{message['content']}}{% endif %}{% endfor %}"
)
# While learning, pieces may not cross these: single digits and marks, at most two hanzi, one Latin word with the
# blank before it. The finished tokenizer has no such rule, as published; no merge that it knows crosses them either.
_PIECES = Regex(r"[\u4e00-\u9fff]{1,2}|▁?(?:[A-Za-z]+|<)|\n|▁|[^▁]")


def alphabet() -> list[str]:
    """Return the characters that are always pieces: ASCII, Chinese marks, the 3755 hanzi of GB 2312 level 1."""
    hanzi = [
        bytes((row, cell)).decode("gb2312")
        for row in range(0xB0, 0xD8)
        for cell in range(0xA1, 0xFF)
        if (row, cell) < (0xD7, 0xFA)
    ]
    return ["▁", "\n", "\t", *map(chr, range(0x21, 0x7F)), *PUNCTUATION, *hanzi]


@dataclass(frozen=True)
class Layout:
    """What is fixed about a vocabulary.

    `first`: the pieces with the first ids; `special`: those of them that are special tokens. `alphabet`: characters
    that are always pieces. `marks_start`: a text begins with a space mark, as in the published tokenizer.json of
    MiniCPM; MiniCPM-V has none. `chat_template`: None where the model's layout is not written as a template.
    """

    first: tuple[str, ...] = (*SPECIAL, *BYTES)
    special: tuple[str, ...] = SPECIAL
    alphabet: tuple[str, ...] = tuple(alphabet())
    marks_start: bool = True
    chat_template: str | None = CHAT_TEMPLATE


TEXT = Layout()
"""The vocabulary of the nano MiniCPM."""


def learn(texts: Iterable[str], size: int, layout: Layout = TEXT) -> Tokenizer:
    """Learn a tokenizer of `size` pieces from `texts`; the same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    start, strip = ([normalizers.Prepend("▁")], [decoders.Strip(" ", 1, 0)]) if layout.marks_start else ([], [])
    tokenizer.normalizer = normalizers.Sequence([*start, normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_PIECES, "isolated")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(layout.first),
        initial_alphabet=list(layout.alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    content["pre_tokenizer"] = None
    # The byte pieces are ordinary pieces.
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in layout.special]
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def write(tokenizer: Tokenizer, folder: Path, layout: Layout = TEXT) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json as the published folders hold them."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(content)): {"content": content, **flags, "special": True}
            for content in layout.special
        },
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "legacy": True,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": None,
        "sp_model_kwargs": {},
        "spaces_between_special_tokens": False,
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
        **({"chat_template": layout.chat_template} if layout.chat_template is not None else {}),
    }
    special = {
        name: {"content": content, **flags}
        for name, content in (("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"))
    }
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / FILES[0]))
    for name, value in zip(FILES[1:], (config, special), strict=True):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
