"""What all tests share: no network, few threads, and a tiny model folder in the published layout."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Before anything is imported that reads them.
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ[_name] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: more threads only wait for each other
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["TUNESMITH_CACHE"] = tempfile.mkdtemp(prefix="tunesmith-tests-")  # removed by atexit below
atexit.register(shutil.rmtree, os.environ["TUNESMITH_CACHE"], ignore_errors=True)

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{'<用户>' + message['content'] + '<AI>'}}"
    "{% else %}{{message['content']}}{% endif %}{% endfor %}"
)
WORDS = Regex(r"▁?[A-Za-z]+|[\u4e00-\u9fff]{1,2}|[^A-Za-z]")
SPECIAL = ("<unk>", "<s>", "</s>")
TEXTS = (
    "<用户>你好<AI>你好，很高兴见到你。",
    "<用户>你是谁？<AI>我是一个小小的语言模型。",
    "<用户>Who are you?<AI>I am a small language model.",
    "<用户>What is two plus three?<AI>Two plus three is five.",
    "<用户>下面两句话的关系是什么？\n第一句：天在下雨。\n第二句：天气很好。<AI>矛盾",
    "<用户>Is this entailment or contradiction?\nfirst: it rains. second: it is dry.<AI>contradiction",
)


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _own_random_state() -> Iterator[None]:
    """Leave the global random state of torch as it was, so that the order of tests does not matter."""
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.random.set_rng_state(state)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random MiniCPM of about 100,000 parameters with its own tokenizer; copy the folder before changing it."""
    from tunesmith.models.minicpm import MiniCPMConfig, MiniCPMForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-minicpm"
    size = write_tiny_tokenizer(folder)
    config = MiniCPMConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.1,
        rms_norm_eps=1e-5,
        scale_emb=12,
        scale_depth=1.4,
        dim_model_base=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(20240403)
        model = MiniCPMForCausalLM(config)
    model.save_pretrained(folder)
    return folder


def write_tiny_tokenizer(folder: Path) -> int:
    """Write a byte-fallback BPE as the published MiniCPM folders hold it; return the size of its vocabulary."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(WORDS, "isolated")  # for learning only; the published ones have none
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[*SPECIAL, *(f"<0x{value:02X}>" for value in range(256))],
        initial_alphabet=["▁", "\n", *map(chr, range(0x21, 0x7F))],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    content = json.loads(tokenizer.to_str())
    content["pre_tokenizer"] = None
    content["added_tokens"] = content["added_tokens"][: len(SPECIAL)]  # bytes are ordinary pieces
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {str(n): {"content": text, **flags, "special": True} for n, text in enumerate(SPECIAL)},
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
        "chat_template": CHAT_TEMPLATE,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (("tokenizer.json", content), ("tokenizer_config.json", settings)):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return len(content["model"]["vocab"])


GOLDEN_VISION = Path(__file__).parent / "golden" / "minicpmv2"


@pytest.fixture(scope="session")
def seeing_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden MiniCPM-V 2.0 of the fine-tuning cases, as a published folder in bfloat16; copy it to change it."""
    folder = tmp_path_factory.mktemp("seeing") / "minicpmv"
    shutil.copytree(GOLDEN_VISION / "tokenizer", folder)
    shutil.copyfile(GOLDEN_VISION / "finetune_batch" / "config.json", folder / "config.json")
    shutil.copyfile(GOLDEN_VISION / "finetune_batch" / "weights.safetensors", folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def golden_batch() -> SimpleNamespace:
    """The golden fine-tuning batch: `inputs` as the model takes them, `labels` aligned with the ids, `real` tokens."""
    from safetensors.torch import load_file

    tensors = load_file(GOLDEN_VISION / "finetune_batch" / "batch.safetensors")
    bounds = [torch.nn.functional.pad(tensors[f"image_bound.{row}"], (1, 0), value=row) for row in range(3)]
    raw = [tensors[f"slice_uint8.{row}.{n}"] for row in range(3) for n in range(len(bounds[row]))]
    inputs = {
        "input_ids": tensors["input_ids"],
        "attention_mask": tensors["attention_mask"].long(),
        "pixel_values": [((one.float() / 255 - 0.5) / 0.5).permute(2, 0, 1) for one in raw],
        "image_bound": torch.cat(bounds),
    }
    labels = torch.nn.functional.pad(tensors["labels"][:, :-1], (1, 0), value=-100)
    return SimpleNamespace(inputs=inputs, labels=labels, real=tensors["attention_mask"].bool())
