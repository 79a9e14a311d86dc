"""The sample task: MiniCPM-V's own format, readable by the project, the same each time, true to the pictures."""

from __future__ import annotations

import json
from pathlib import Path

from tunesmith.data.formats import vision
from tunesmith.data.images import open_picture
from tunesmith.data.sources import read_records
from tunesmith.nano.pictures import task
from tunesmith.nano.pictures.scene import pairs
from tunesmith.nano.pictures.words import LANGUAGES


def test_names_say_colour_and_shape() -> None:
    for language in LANGUAGES:
        names = {task.creature(colour, shape, language) for colour in task.FIRST for shape in task.SECOND}
        assert len(names) == 48
    assert task.creature("red", "circle", "zh") == "火球" and task.creature("red", "circle", "en") == "Fibo"


def test_every_creature_comes_as_often() -> None:
    found = [(scene.things[0].colour, scene.things[0].shape) for scene, _ in task.scenes(84, 0)]
    assert sorted(found) == sorted(pairs(False) * 2)


def test_the_folder_is_readable_and_always_the_same(tmp_path: Path) -> None:
    assert task.write_task(tmp_path / "one", 20, 3) == {"train.json": 17, "validation.json": 3}
    task.main([str(tmp_path / "two"), "--count", "20", "--seed", "3"])
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 22
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    used = []
    for name in ("train.json", "validation.json"):
        content = json.loads((tmp_path / "one" / name).read_text(encoding="utf-8"))
        assert all(set(record) == {"id", "image", "conversations"} for record in content)
        for record, origin in read_records(tmp_path / "one" / name):
            assert vision.matches(record)
            conversation = vision.parse(record, origin)
            assert [message.role for message in conversation.messages] == ["user", "assistant"]
            used.append(conversation.images[0].path)
            assert open_picture(used[-1]).width in (70, 140)
    assert len(set(used)) == 20


def test_the_shipped_creatures_are_written_by_it(tmp_path: Path) -> None:
    shipped = Path(task.__file__).parents[1] / "data" / "pictures"
    task.write_task(tmp_path, 12)
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")}
    assert files == {path.relative_to(shipped) for path in shipped.rglob("*.*")}
    for name in files:
        if name.suffix == ".json":
            assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes()
        else:  # the bytes of a PNG depend on the version of Pillow
            made, there = open_picture(tmp_path / name), open_picture(shipped / name)
            assert (made.size, made.tobytes()) == (there.size, there.tobytes())
