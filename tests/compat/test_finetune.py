"""Published command lines, run to the end on the nano models; only numbers and paths are others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith import config
from tunesmith.compat.finetune import FILE, finetune
from tunesmith.errors import ConfigError, DataError
from tunesmith.models.load import load
from tunesmith.runs import CONFIG, ENVIRONMENT
from tunesmith.training.distributed.ranks import free_port
from tunesmith.training.settings import TrainConfig

Command = Callable[..., list[str]]
PICTURES = Path(__file__).parents[1] / "golden" / "minicpmv2" / "pictures"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "RANK"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


@pytest.fixture
def minicpm_lora(command: Command, talks: Path, tmp_path: Path) -> list[str]:
    """The published LoRA command for MiniCPM with two steps, without DeepSpeed."""
    return command(
        "minicpm lora",
        model_name_or_path="nano-minicpm",
        output_dir=tmp_path / "run",
        train_data_path=talks / "train.json",
        eval_data_path=talks / "dev.json",
        max_steps="2",
        deepspeed=None,
    )


def test_minicpm_lora(minicpm_lora: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = finetune(minicpm_lora)
    assert (result.state, result.step, result.result) == ("finished", 2, tmp_path / "run" / "adapter")
    adapter = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert (adapter["r"], adapter["lora_alpha"], sorted(adapter["target_modules"])) == (64, 32, ["q_proj", "v_proj"])
    assert load(tmp_path / "run").family.model_type == "minicpm"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    text = (tmp_path / "run" / FILE).read_text("utf-8")
    assert text in capfd.readouterr().err
    written, resolved = (config.read(TrainConfig, tmp_path / "run" / name) for name in (FILE, CONFIG))
    assert written == resolved
    with pytest.raises(ConfigError, match=r"is already finished.*Here that is --overwrite_output_dir\."):
        finetune([*minicpm_lora, "--seed", "7"])
    assert (tmp_path / "run" / FILE).read_text("utf-8") == text


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("minicpmv lora", {"adapter/trained_parts.safetensors", "adapter/adapter_model.safetensors"}),
        ("minicpmv full", {"model/model.safetensors"}),
    ],
)
def test_minicpmv(name: str, parts: set[str], command: Command, tmp_path: Path) -> None:
    words = command(
        name,
        model_name_or_path="nano-minicpmv",
        data_path=PICTURES / "conversations.json",
        eval_data_path=PICTURES / "conversations.json",
        output_dir=tmp_path / "run",
        nproc_per_node="1",
        max_slice_nums="4",
        max_steps="1",
        deepspeed=None,
    )
    result = finetune(words)
    assert (result.state, result.step) == ("finished", 1)
    files = {str(file.relative_to(tmp_path / "run")) for file in (tmp_path / "run").glob("*/*")}
    assert parts <= files
    settings = config.read(TrainConfig, tmp_path / "run" / CONFIG)
    assert settings.training.precision == ("auto" if name == "minicpmv lora" else "bf16")  # float16 needs a GPU


TWICE = """
import json, sys
import torch.distributed as dist
from tunesmith.compat.finetune import finetune
from tunesmith.edges import deepspeed

exact, asked = deepspeed.exact, []  # the float32 weights that DeepSpeed's optimizer alone has

def counted(parameter):
    asked.append(parameter.numel())
    return exact(parameter)

deepspeed.exact = counted
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
for words in json.loads(sys.argv[2]):
    result = finetune(words)
    print(json.dumps([result.state, result.step, str(result.result), len(set(asked))]), flush=True)
    asked.clear()
dist.destroy_process_group()
"""


def test_deepspeed_with_the_published_json(minicpm_lora: list[str], zero2_offload: Path, tmp_path: Path) -> None:
    runs = {"adapter": [], "model": ["--use_lora", "false"]}
    lines = [
        [*minicpm_lora, *flags, "--use_cpu", "--deepspeed", str(zero2_offload), "--output_dir", str(tmp_path / name)]
        for name, flags in runs.items()
    ]
    command = [sys.executable, "-c", TWICE, str(tmp_path / "meeting"), json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, line in zip(runs, done.stdout.splitlines(), strict=True):
        state, step, result, shapes = json.loads(line)
        assert (state, step, Path(result)) == ("finished", 2, tmp_path / name / name)
        assert shapes > 1
        assert load(tmp_path / name).family.model_type == "minicpm"
        distributed = config.read(TrainConfig, tmp_path / name / CONFIG).distributed
        assert distributed is not None
        assert (distributed.processes, distributed.engine, distributed.config) == (1, "deepspeed", str(zero2_offload))


def test_the_deepspeed_launcher_with_two_processes(
    command: Command, talks: Path, zero2_offload: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = command(
        "minicpm full",
        model_name_or_path="nano-minicpm",
        output_dir=tmp_path / "run",
        train_data_path=talks / "train.json",
        eval_data_path=talks / "dev.json",
        per_device_train_batch_size="2",
        max_steps="2",
        deepspeed=zero2_offload,
    )
    result = finetune([*words[:3], "--master_port", str(free_port()), *words[3:], "--use_cpu"])
    assert (result.state, result.step, result.result) == ("finished", 2, tmp_path / "run" / "model")
    assert "2 ranks; DeepSpeed shares out, ZeRO stage 2. A step has 8 rows." in capfd.readouterr().err
    assert json.loads((tmp_path / "run" / ENVIRONMENT).read_text("utf-8"))["ranks"] == 2
    assert load(tmp_path / "run").family.model_type == "minicpm"


def test_qlora(minicpm_lora: list[str], zero2_offload: Path, tmp_path: Path) -> None:
    result = finetune([*minicpm_lora, "--qlora", "--deepspeed", str(zero2_offload)])
    assert (result.state, result.step, result.result) == ("finished", 2, tmp_path / "run" / "adapter")
    tuning = config.read(TrainConfig, tmp_path / "run" / CONFIG).tuning
    assert (tuning.method, tuning.quant, tuning.double_quant) == ("qlora", "nf4", True)
    text = (tmp_path / "run" / FILE).read_text("utf-8")
    assert f"# --deepspeed: no effect; with --qlora the model is whole on each process. '{zero2_offload}'" in text


def test_dpo(command: Command, tmp_path: Path) -> None:
    rows = [
        {"instruction": f"repeat {word}", "input": "", "chosen": word, "rejected": "no", "history": [["Hi", "Hello"]]}
        for word in ("blue", "seven", "chair", "雨")
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(rows), "utf-8")
    words = command(
        "minicpm dpo",
        model_name_or_path="nano-minicpm",
        train_data_path=tmp_path / "pairs.json",
        output_dir=tmp_path / "run",
        num_train_epochs="2",
        dataloader_num_workers=None,
        gradient_accumulation_steps="2",
        sft_loss_weight="0",
    )
    result = finetune(words)
    assert (result.state, result.step, result.result) == ("finished", 4, tmp_path / "run" / "adapter")
    objective = config.read(TrainConfig, tmp_path / "run" / CONFIG).objective
    assert (objective.method, objective.beta, objective.loss) == ("dpo", 0.1, "sigmoid")


def test_the_module_takes_the_place_of_the_script(minicpm_lora: list[str], tmp_path: Path) -> None:
    flags = minicpm_lora[minicpm_lora.index("finetune.py") + 1 :]
    begin = [sys.executable, "-m", "tunesmith.compat.finetune", "--local_rank=0"]
    done = subprocess.run([*begin, *flags, "--print-config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "my.yaml").write_text(done.stdout, "utf-8")
    assert config.read(TrainConfig, tmp_path / "my.yaml").training.steps == 2
    assert "# --local_rank: no effect" in done.stdout


def test_only_the_first_process_of_a_launcher_speaks(
    minicpm_lora: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[TrainConfig] = []
    monkeypatch.setattr("tunesmith.training.run.train", seen.append)
    monkeypatch.setenv("RANK", "1")
    finetune(minicpm_lora)
    assert seen[0].training.steps == 2
    assert "finetune.py" not in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there(minicpm_lora: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json"):
        finetune([*minicpm_lora, "--train_data_path", str(tmp_path / "nowhere.json")])
