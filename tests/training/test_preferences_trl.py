"""The oracle: losses and gradients of TRL's own trainers on the same rows, with a head that is scaled as the model's is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tunesmith.data.collate import collate
from tunesmith.data.preferences import halves, pair, with_others
from tunesmith.data.types import IGNORE, Example
from tunesmith.locate import locate
from tunesmith.models import auto
from tunesmith.models.load import load
from tunesmith.training.distributed.ranks import Ranks
from tunesmith.training.objectives import dpo, kto, orpo
from tunesmith.training.preferences import Preferences, objective_of

pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL and what it imports

BETA = 0.3


@pytest.fixture(scope="module", params=["minicpm", "llama"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A model, one before training, a tokenizer that TRL wants to see, and a folder."""
    if request.param == "minicpm":
        loaded = load("nano-minicpm", dtype=torch.float32)
        model, family = loaded.model, loaded.family
        # TRL reads Granite's name for what the logits are divided by; of MiniCPM's own names it knows nothing.
        model.config.logits_scaling = model.config.hidden_size / model.config.dim_model_base
    else:
        sizes = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.1)
            model, family = LlamaForCausalLM(config), auto.FAMILY
    before = copy.deepcopy(model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in before.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter) * parameter.abs().mean())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(Path(locate("nano-minicpm")) / "tokenizer.json"), eos_token="</s>", pad_token="</s>"
    )
    yield SimpleNamespace(
        kind=request.param, model=model, family=family, before=before, tokenizer=tokenizer,
        folder=tmp_path_factory.mktemp("trl"),
    )  # fmt: skip


def trl_trainer(models: SimpleNamespace, trainer: Any, arguments: Any, record: dict, **settings: Any) -> Any:
    """TRL's trainer, built as its users do, but for the data: it gets our rows."""
    args = arguments(
        output_dir=str(models.folder), report_to=[], use_cpu=True, bf16=False, per_device_train_batch_size=3,
        gradient_checkpointing=False, disable_tqdm=True, beta=BETA, **settings,
    )  # fmt: skip
    more = {} if "orpo" in arguments.__module__ else {"ref_model": models.before}
    rows = datasets.Dataset.from_list([record] * 4)
    return trainer(
        model=models.model, args=args, train_dataset=rows, processing_class=models.tokenizer, **more
    )  # fmt: skip


def answer(prompt: list[int], length: int, **more: Any) -> Example:
    ids = torch.randint(3, 290, (length,)).tolist()
    return Example(prompt + ids, [IGNORE] * len(prompt) + ids, **more)


def pairs(sizes: list[tuple[int, int, int]]) -> list[Example]:
    made = []
    for size, good, bad in sizes:
        prompt = torch.randint(3, 290, (size,)).tolist()
        made.append(pair(answer(prompt, good), answer(prompt, bad)))
    return made


def cut(half: Example) -> tuple[list[int], list[int]]:
    """Prompt and answer."""
    begin = next(n for n, label in enumerate(half.labels) if label != IGNORE)
    return half.input_ids[:begin], half.input_ids[begin:]


def ours(models: SimpleNamespace, settings: Any, examples: list[Example]) -> tuple[torch.Tensor, dict[str, Any]]:
    """The mean loss and its gradients."""
    batch = collate(examples, 2)
    with torch.no_grad():
        before: Preferences = objective_of(settings, models.before, models.family, Ranks())
        batch["reference_logps"] = before.answers(**batch)[0]
    objective = objective_of(settings, models.model, models.family, Ranks())
    return gradients(models.model, objective(**batch) / objective.count(batch))


def gradients(model: Any, loss: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
    model.zero_grad()
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def compare(models: SimpleNamespace, settings: Any, examples: list[Example], theirs: torch.Tensor) -> None:
    loss, found = gradients(models.model, theirs)
    own, own_found = ours(models, settings, examples)
    torch.testing.assert_close(own, loss, atol=1e-5, rtol=1e-5)
    assert found.keys() == own_found.keys() and len(found) > 10
    for name, gradient in found.items():
        size = gradient.norm()
        assert size > 0 and (own_found[name] - gradient).norm() <= 1e-4 * size + 1e-7, name


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_dpo(loss: str, models: SimpleNamespace) -> None:
    from trl import DPOConfig, DPOTrainer

    record = {"prompt": "a", "chosen": "b", "rejected": "c"}
    theirs = trl_trainer(models, DPOTrainer, DPOConfig, record, loss_type=loss)
    examples = pairs([(4, 3, 6), (1, 5, 1), (7, 2, 2)])
    items = []
    for example in examples:
        (prompt, good), (_, bad) = (cut(half) for half in halves(example))
        items.append({"prompt_ids": prompt, "chosen_ids": good, "rejected_ids": bad})
    models.model.train()
    compare(
        models, dpo.Config(beta=BETA, loss=loss), examples,
        theirs.compute_loss(models.model, theirs.data_collator(items)),
    )  # fmt: skip


def test_kto(models: SimpleNamespace) -> None:
    from trl import KTOConfig, KTOTrainer

    record = {"prompt": "a", "completion": "b", "label": True}
    weights = {"desirable_weight": 1.0, "undesirable_weight": 1.5}
    theirs = trl_trainer(models, KTOTrainer, KTOConfig, record, **weights)
    prompts = [torch.randint(3, 290, (size,)).tolist() for size in (4, 1, 7)]
    made = [answer(prompt, size, liked=size != 2) for prompt, size in zip(prompts, (3, 2, 6), strict=True)]
    examples = [row for (row,) in with_others([[one] for one in made], None)]
    items = []
    for example in examples:
        (prompt, own), (_, other) = (cut(half) for half in halves(example))
        items.append({"prompt_ids": prompt, "completion_ids": own, "KL_completion_ids": other, "label": example.liked})
    models.model.train()
    batch = theirs.data_collator(items)
    compare(models, kto.Config(beta=BETA, **weights), examples, theirs.compute_loss(models.model, batch))


def orpo_batch(examples: list[Example]) -> dict[str, torch.Tensor]:
    """A batch as TRL's ORPO takes it."""
    batch = collate(examples, 2)
    found = {}
    for name, start in (("chosen", 0), ("rejected", 1)):
        found[f"{name}_input_ids"] = batch["input_ids"][start::2]
        found[f"{name}_attention_mask"] = batch["attention_mask"][start::2]
        found[f"{name}_labels"] = batch["labels"][start::2]
    return found


@pytest.mark.parametrize("sizes", [[(1, 4, 6)], [(1, 4, 6), (1, 4, 2), (1, 4, 4)]], ids=["one pair", "three"])
def test_orpo(sizes: list[tuple[int, int, int]], models: SimpleNamespace) -> None:
    """TRL takes the mean over all tokens of all prompts and good answers: here every prompt is one token, which nobody
    predicts, and the good answers are of one length, where that is the mean over the pairs."""
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    theirs = trl_trainer(models, ORPOTrainer, ORPOConfig, {"prompt": "a", "chosen": "b", "rejected": "c"})
    examples = pairs(sizes)
    models.model.train()
    compare(models, orpo.Config(beta=BETA), examples, theirs.compute_loss(models.model, orpo_batch(examples)))


def test_trl_as_it_comes_forgets_the_scaling_of_minicpm() -> None:
    """Why the losses are not TRL's own: on MiniCPM its fused head computes other log-probabilities, without a word."""
    from trl.trainer.utils import add_fused_lm_head

    loaded = load("nano-minicpm", dtype=torch.float32)
    ids = torch.randint(3, 290, (1, 9))
    with torch.no_grad():
        plain = loaded.model(input_ids=ids).logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).sum()
        scaled = copy.deepcopy(loaded.model)
        scaled.config.logits_scaling = scaled.config.hidden_size / scaled.config.dim_model_base
        found = []
        for model in (loaded.model, scaled):
            add_fused_lm_head(model)
            found.append(model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs.sum())
    assert abs(found[0] - plain) > 1
    torch.testing.assert_close(found[1], plain)
