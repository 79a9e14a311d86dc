"""Rows with pictures through the whole run: prepared, cached, batched, learned, saved, and refused where they must be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tunesmith.data.chat import RenderOptions
from tunesmith.data.chats import load_chat
from tunesmith.data.collate import Collator, PictureLoader, collate
from tunesmith.data.flow import Work
from tunesmith.data.pipeline import Preparation, Prepared, split
from tunesmith.data.types import Pack
from tunesmith.errors import DataError
from tunesmith.training import verify as round_trip
from tunesmith.training.run import train

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2"
SIZES = {"square.png": (60, 60), "wide.png": (210, 80), "tall.png": (70, 260)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny MiniCPM-V 2.0 in the published layout."""
    folder = tmp_path_factory.mktemp("models") / "tiny-minicpmv"
    folder.mkdir()
    shutil.copyfile(GOLDEN / "chat_noslice" / "config.json", folder / "config.json")
    shutil.copyfile(GOLDEN / "chat_noslice" / "weights.safetensors", folder / "model.safetensors")
    for file in (GOLDEN / "tokenizer").iterdir():
        shutil.copyfile(file, folder / file.name)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Records with one picture, two, and none, in MiniCPM-V's format."""
    for number, (name, size) in enumerate(SIZES.items()):
        Image.new("RGB", size, (60 * number, 200, 90)).save(tmp_path / name)

    def talk(question: str, answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    records = [
        {"id": "0", "image": "square.png", "conversations": talk("<image>\nwhat?", "a square")},
        {"id": "1", "image": "wide.png", "conversations": talk("is it wide?", "yes")},
        {"id": "2", "image": {"<image_00>": "tall.png", "<image_01>": "square.png"},
         "conversations": [*talk("see <image_00> and", "tall"), *talk("<image_01>?", "not")]},
        {"id": "3", "image": {}, "conversations": talk("hello", "hi")},
    ]  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps(records), encoding="utf-8")
    return tmp_path / "data.json"


def prepared(model: Path, data: Path, max_length: int | None = None) -> tuple[Prepared, PictureLoader]:
    tokenizer, chat = load_chat(model)
    work = Work(chat, tokenizer, RenderOptions(max_length), format="vision")
    return Preparation(work).run([str(data)]), PictureLoader(chat.slicing)  # type: ignore[attr-defined]


def config(model: Path, data: Path, output: Path, **more: Any) -> dict[str, Any]:
    return {
        "model": str(model),
        "output": str(output),
        "data": {"train": str(data), "format": "vision", "max_length": 1500},
        "tuning": {"method": "lora", "rank": 4},
        "training": {"steps": 3, "batch_size": 2, "learning_rate": 1e-2, "report_to": [], "verify": False, **more},
    }


def test_pictures_are_part_of_rows(model: Path, data: Path) -> None:
    rows, loader = prepared(model, data)
    assert [len(example.pictures) for example in rows] == [1, 1, 2, 0]
    for example in rows:
        pixels, slots = loader.load(example)
        assert len(pixels) == len(slots) == sum(len(picture.slots) for picture in example.pictures)
        for first, last in slots:
            assert example.input_ids[first:last] == [0] * 64 and example.input_ids[first - 1] == 101
            assert all(label == -100 for label in example.labels[first - 1 : last + 1])
    batch = Collator(0, loader)([rows[0], rows[2]])
    assert batch["image_bound"][:, 0].tolist() == [0] + [1] * (len(batch["pixel_values"]) - 1)
    packed = collate([Pack((rows[3], rows[0]))], 0, loader)
    (_, first, last) = packed["image_bound"][0].tolist()
    assert packed["input_ids"][0, first:last].tolist() == [0] * 64 and packed["position_ids"][0, first] < first


def test_a_changed_picture_makes_new_rows_and_a_lost_one_is_named(model: Path, data: Path) -> None:
    rows, loader = prepared(model, data)
    again, _ = prepared(model, data)
    assert again.rows.path == rows.rows.path and again.fingerprint == rows.fingerprint
    Image.new("RGB", (400, 60), "red").save(data.with_name("square.png"))
    with pytest.raises(DataError, match=r"record 0.*square\.png' has changed"):
        loader.load(rows[0])
    other, _ = prepared(model, data)
    assert other.fingerprint != rows.fingerprint and len(other[0].input_ids) > len(again[3].input_ids)
    data.with_name("square.png").unlink()
    with pytest.raises(DataError, match=r"record 0.*square\.png"):
        prepared(model, data)
    with pytest.raises(DataError, match=r"record 0.*square\.png"):
        loader.load(rows[0])


def test_one_question_about_many_pictures_can_be_split(model: Path, data: Path) -> None:
    talk = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "it"}]
    for number in range(4):
        Image.new("RGB", (60, 60), (50 * number, 0, 0)).save(data.with_name(f"{number}.png"))
    records = [{"id": str(n), "image": f"{n}.png", "conversations": talk} for n in range(4)]
    data.write_text(json.dumps(records), encoding="utf-8")
    rows, _ = prepared(model, data)
    assert [len(part) for part in split(rows, 0.25, 1)] == [3, 1]


def test_a_row_is_never_cut_inside_a_picture(model: Path, data: Path) -> None:
    with pytest.raises(DataError, match=r"record 1.*field 'image'.*never cut inside a picture"):
        prepared(model, data, max_length=100)


@pytest.mark.parametrize("data_settings", [{}, {"packing": True}, {"streaming": True}], ids=["rows", "packs", "stream"])
def test_it_learns_and_the_round_trip_holds(
    data_settings: dict, model: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = config(model, data, tmp_path / "run", verify=True, steps=4)
    settings["data"] |= {"validation": str(data), **data_settings}
    result = train(settings)
    assert result.state == "finished"
    assert ("Packing: 4 rows" in capfd.readouterr().err) == ("packing" in data_settings)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    evaluated = [line["eval_loss"] for line in lines if "eval_loss" in line]
    assert evaluated[-1] < evaluated[0]
    report = round_trip.compare(tmp_path / "run")
    assert report["faults"] == [] and report["rows"] == 4


def test_batches_of_pictures_give_the_loss_of_single_rows(model: Path, data: Path, tmp_path: Path) -> None:
    one = config(model, data, tmp_path / "one", batch_size=1, gradient_accumulation_steps=4, steps=2)
    four = config(model, data, tmp_path / "four", batch_size=4, steps=2)
    losses = []
    for settings in (one, four):
        train(settings)
        lines = (Path(settings["output"]) / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert torch.allclose(torch.tensor(losses[0]), torch.tensor(losses[1]), atol=1e-5)


@pytest.mark.parametrize("resampler", ["full", "frozen"])
def test_pictures_looked_at_once_give_the_same_run(
    resampler: str, model: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    losses = []
    for number, look in enumerate((True, True, False)):
        settings = config(model, data, tmp_path / str(number), look_once=look, steps=4)
        settings["tuning"]["resampler"] = resampler
        train(settings)
        said = capfd.readouterr().err
        assert ("were looked at once" in said) == look and ("(3 of them in an earlier run)" in said) == (number == 1)
        lines = (tmp_path / str(number) / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] == losses[1]
    assert torch.allclose(torch.tensor(losses[0]), torch.tensor(losses[2]), atol=1e-5)


def test_a_text_model_refuses_pictures_by_name(tiny_config: dict, data: Path, tmp_path: Path) -> None:
    settings = config(Path(tiny_config["model"]), data, tmp_path / "run")
    with pytest.raises(DataError, match=r"record 0.*pictures.*reads text only"):
        train(settings)
