"""Strict reading: what is accepted, and what each mistake is answered with."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tunesmith import config
from tunesmith.errors import ConfigError


class Section(BaseModel):
    """What all sections here share."""

    model_config = ConfigDict(extra="forbid")


class Training(Section):
    """Numbers, choices, aliases."""

    batch_size: int = Field(8, ge=1, validation_alias=AliasChoices("batch_size", "per_device_train_batch_size"))
    learning_rate: float = 1e-4
    warmup: Literal["auto"] | float = "auto"
    schedule: Literal["cosine", "linear"] = "cosine"
    packed: bool = False


class Data(Section):
    """Lists and texts."""

    train: str | list[str] = Field(description="Files to learn from.")
    name: str | None = None


class Settings(Section):
    """A whole configuration."""

    model: str = "nano"
    data: Data
    training: Training = Training()
    tuning: Annotated[Any, BeforeValidator(config.Chosen("tunesmith.tuning", "method", "lora"))] = None

    @model_validator(mode="after")
    def _both(self) -> Settings:
        if self.data.name == "bad":
            raise ValueError("name and train do not go together")
        return self


GOOD = "model: here\ndata:\n  train: [a.json]\ntraining:\n  learning_rate: 1e-4\n"


def written(tmp_path: Path, text: str) -> Path:
    """Write a configuration file."""
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "run.yaml"


def refused(source: Any, *overrides: str) -> str:
    """Return the message that a configuration is refused with."""
    with pytest.raises(ConfigError) as caught:
        config.read(Settings, source, overrides)
    return str(caught.value)


def test_a_file_and_overrides_become_typed_settings(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    settings = config.read(Settings, path, ["training.batch_size=4", "data.train=[b.json,c.json]", "data.name="])
    assert settings.training.learning_rate == 1e-4
    assert settings.training.batch_size == 4
    assert settings.data.train == ["b.json", "c.json"]
    assert settings.data.name is None


def test_what_dump_writes_reads_back_as_the_same(tmp_path: Path) -> None:
    text = GOOD + "  warmup: 1e-5\n  per_device_train_batch_size: 2\ntuning: full\n"
    settings = config.read(Settings, written(tmp_path, text), ["data.name='1e-4'", "model=没有"])
    dumped = config.dump(settings)
    assert "没有" in dumped
    again = config.read(Settings, written(tmp_path, dumped))
    assert again == settings
    assert again.data.name == "1e-4"
    assert again.tuning.method == "full"


def test_a_mapping_is_read_and_not_changed() -> None:
    source = {"data": {"train": "a.json"}}
    assert config.read(Settings, source, ["data.train=b.json"]).data.train == "b.json"
    assert source == {"data": {"train": "a.json"}}
    with pytest.raises(ConfigError, match="data is missing"):
        config.read(Settings, None)


def test_an_unknown_key_is_told_with_path_line_and_the_nearest_name(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "  learning_rte: 3\n")
    assert refused(path) == f"{path}, line 6: training.learning_rte is unknown; did you mean 'learning_rate'?"
    message = refused(written(tmp_path, GOOD), "training.zzz=3")
    assert message.startswith("override 'training.zzz=3': training.zzz is unknown. Known here: batch_size, learning")


def test_a_known_name_in_the_wrong_place_is_told_where_it_belongs(tmp_path: Path) -> None:
    for name in ("learning_rate", "per_device_train_batch_size"):
        assert f"did you mean 'training.{name}'?" in refused(written(tmp_path, GOOD), f"{name}=1")


def test_an_unknown_key_of_a_chosen_section_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    message = refused(written(tmp_path, GOOD + "tuning: {method: lora, rnk: 3}\n"))
    assert message.endswith("line 6: tuning.rnk is unknown; did you mean 'rank'?")
    message = refused(written(tmp_path, GOOD + "tuning: lroa\n"))
    assert "line 6: tuning: Unknown method 'lroa'; did you mean 'lora'?" in message
    assert "tuning: must be a section" in refused(written(tmp_path, GOOD + "tuning: [lora]\n"))


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "modl: x\ntraining:\n  packed: 3\n  learning_rate: fast\n")
    assert refused(path).splitlines() == [
        f"4 faults in {path}:",
        "line 1: modl is unknown; did you mean 'model'?",
        "line 3: training.packed is 3, but must be true or false.",
        'line 4: training.learning_rate is "fast", but must be a number.',
        "data is missing.",
    ]


def test_a_missing_setting_is_told_with_its_description(tmp_path: Path) -> None:
    path = written(tmp_path, "data:\n  name: x\n")
    assert refused(path) == f"{path}, line 1: data.train is missing: Files to learn from."


def test_both_names_of_a_setting_are_an_error_but_an_override_replaces_either(tmp_path: Path) -> None:
    other = "per_device_train_batch_size"
    path = written(tmp_path, GOOD + f"  {other}: 2\n  batch_size: 3\n")
    assert refused(path) == (
        f"{path}, line 6: training.{other} is the same setting as batch_size, which is given too; keep one."
    )
    path = written(tmp_path, GOOD + f"  {other}: 2\n")
    assert config.read(Settings, path).training.batch_size == 2
    assert config.read(Settings, path, ["training.batch_size=5"]).training.batch_size == 5
    assert config.read(Settings, path, ["training.batch_size=5", f"training.{other}=6"]).training.batch_size == 6


def test_a_rule_between_settings_speaks_for_itself(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert refused(path, "data.name=bad") == f"{path}: name and train do not go together."


def test_empty_files_anchors_and_byte_order_marks(tmp_path: Path) -> None:
    for text in ("", "\n# only a comment\n", "---\n"):
        assert refused(written(tmp_path, text)) == f"{tmp_path / 'run.yaml'}: data is missing."
    text = "\ufeffdata: {train: a.json}\ntraining: &t\n  batch_size: 2\n"
    assert config.read(Settings, written(tmp_path, text)).training.batch_size == 2
    text = "data: &d\n  train: a.json\n  <<: {name: x, foo: 1}\n"
    assert refused(written(tmp_path, text)).endswith("line 3: data.foo is unknown. Known here: train, name.")


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    assert refused(tmp_path / "rum.yaml").endswith("rum.yaml'; did you mean 'run.yaml'?")
    assert refused(tmp_path / "no" / "run.yaml").endswith(f"nor a folder '{tmp_path / 'no'}'.")
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "run.yaml").write_bytes(b"model: \xff\n")
    assert "not UTF-8" in refused(tmp_path / "run.yaml")


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("batch", "not of the form key=value"),
        ("=3", "not of the form key=value"),
        ("training..x=3", "not of the form key=value"),
        ("data.train=[a", "this is not valid YAML"),
        ("model.name=3", "model has no settings, it is 'here'."),
    ],
)
def test_a_broken_override_is_told(tmp_path: Path, override: str, wanted: str) -> None:
    message = refused(written(tmp_path, GOOD), override)
    assert f"'{override}'" in message
    assert wanted in message


def test_reading_imports_neither_torch_nor_transformers(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom tunesmith import config\nfrom tunesmith.training.settings import TrainConfig\n"
        "try:\n    config.read(TrainConfig, None, ['modl=1'])\n"
        "except Exception as error:\n    print(error)\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'peft'} & set(sys.modules)))"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "did you mean 'model'?" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.perf_counter() - start < 5  # about 0.4 s; the bound only notices a heavy import
