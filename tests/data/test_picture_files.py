"""Pictures lie inside allowed folders; whatever leads out of them, or into the web, is named with the setting for it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from PIL import Image

from tunesmith.data.formats._images import refer
from tunesmith.data.picture_files import PictureFiles
from tunesmith.data.types import Conversation, ImageRef, Origin
from tunesmith.errors import ConfigError, RecordError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """data/x.json beside data/a.png and data/deep/a.png; elsewhere/a.png and elsewhere/b.png outside."""
    for place in ("data", "data/deep", "elsewhere", "database"):
        (tmp_path / place).mkdir()
        Image.new("RGB", (30, 20), "red").save(tmp_path / place / "a.png")
    Image.new("RGB", (30, 20), "blue").save(tmp_path / "elsewhere" / "b.png")
    return tmp_path / "data"


def find(folder: Path, path: str, *roots: Path | str) -> str:
    """Return where a picture of data/x.json is found."""
    origin = Origin(str(folder / "x.json"), 3, 7)
    talk = Conversation((), origin, images=(refer("<image>", path, "image", origin),))
    rules = pickle.loads(pickle.dumps(PictureFiles.of([str(root) for root in roots], "refuse", "--picture-root")))
    return str(rules.find(talk).images[0].path)


def refused(folder: Path, path: str, *roots: Path | str) -> str:
    """Return what is said of a picture that must not be read."""
    with pytest.raises(RecordError) as caught:
        find(folder, path, *roots)
    assert caught.value.field == "image" and f"{folder / 'x.json'}, record 3, line 7" in str(caught.value)
    return str(caught.value)


def test_inside_the_folder_of_the_data_file(folder: Path) -> None:
    for path in ("a.png", "deep/a.png", "deep/../a.png", str(folder / "a.png"), str(folder / "deep" / ".." / "a.png")):
        assert find(folder, path) == str(folder / path)


@pytest.mark.parametrize(
    "path", ["../elsewhere/a.png", "deep/../../elsewhere/a.png", "../database/a.png", "../none.png"]
)
def test_outside_is_refused(folder: Path, path: str) -> None:
    said = refused(folder, path)
    place = (folder / path).resolve()
    assert f"'{folder / path}' lies outside the folders that pictures are read from, at '{place}'" in said
    assert f"They are: '{folder}'." in said
    assert f"data.picture_roots={place.parent} (--picture-root {place.parent} for tunesmith data)" in said


def test_absolute_paths_and_roots(folder: Path) -> None:
    path = str(folder.parent / "elsewhere" / "a.png")
    assert f"'{path}' lies outside" in refused(folder, path) and "read from. They" in refused(folder, path)
    assert find(folder, path, folder.parent / "elsewhere") == path
    assert find(folder, "../elsewhere/a.png", folder.parent) == str(folder / "../elsewhere/a.png")
    assert find(folder, path, "/") == path


def test_links_are_followed(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    (folder / "link.png").symlink_to(elsewhere / "a.png")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "own.png").symlink_to(folder / "deep" / "a.png")
    assert find(folder, "own.png") == str(folder / "own.png")
    assert find(folder, "linked/a.png", elsewhere) == str(folder / "linked" / "a.png")
    for path in ("link.png", "linked/a.png"):
        assert f"read from, at '{elsewhere / 'a.png'}'" in refused(folder, path)
    linked_data = folder.parent / "data link"
    linked_data.symlink_to(folder)
    assert find(linked_data, "a.png") == str(linked_data / "a.png")


def test_relative_paths_are_looked_for_in_roots_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder.parent / "elsewhere"
    assert find(folder, "b.png", elsewhere) == str(elsewhere / "b.png")
    assert find(folder, "a.png", elsewhere) == str(folder / "a.png"), "the data file's folder comes first"
    monkeypatch.chdir(folder.parent)
    said = refused(folder, "elsewhere/b.png")
    assert "does not exist. Paths are relative to the folder of the data file, or to one of data.picture_roots" in said
    assert "From the working directory it is there: data.picture_roots=. (--picture-root .)." in said
    assert find(folder, "elsewhere/b.png", ".") == "elsewhere/b.png"


@pytest.mark.parametrize("path", ["b.jpg", "a\0b", "x" * 5000], ids=["missing", "null", "long"])
def test_missing_files_are_named(folder: Path, path: str) -> None:
    said = refused(folder, path)
    assert "does not exist. Paths are relative to the folder" in said and "From the working directory" not in said


def test_folders_are_no_pictures(folder: Path) -> None:
    assert "deep' is a folder" in refused(folder, "deep")


def test_pictures_are_opened_to_their_end(folder: Path) -> None:
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(whole[:-40])
    assert "field 'image': the picture" in refused(folder, "a.png") and "is damaged" in refused(folder, "a.png")
    origin = Origin(str(folder / "x.json"), 0)
    talk = Conversation((), origin, images=(refer("<image>", "a.png", "image", origin),))
    assert PictureFiles(opened=False).find(talk) == talk
    (folder / "a.png").write_bytes(whole)
    assert find(folder, "a.png") == str(folder / "a.png")
    (folder / "text.png").write_text("no picture")
    assert "is not a picture" in refused(folder, "text.png")


def test_the_web_is_asked_only_if_that_is_wanted(folder: Path) -> None:
    said = refused(folder, "https://example.org/a.png")
    assert "pictures of the web are not fetched" in said and "data.fetch_pictures=true (--fetch-pictures)" in said
    ref = ImageRef("<image>", "https://a.b/c.png", "https://a.b/c.png", "image")
    talk = Conversation((), Origin(str(folder / "x.json"), 0), images=(ref,))
    assert PictureFiles(addresses="keep").find(talk) == talk


@pytest.mark.parametrize(("root", "why"), [("nowhere", "does not exist"), ("a.png", "is not a folder")])
def test_roots_are_folders(folder: Path, root: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"--picture-root: '.*{root}' {why}"):
        PictureFiles.of([str(folder / root)], "refuse", "--picture-root")


def test_what_a_copied_data_file_needs(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    rules, origin = PictureFiles((str(elsewhere),)), Origin(str(folder / "x.json"), 0)
    paths = ("deep/a.png", str(elsewhere / "b.png"), "https://example.org/c.png")
    talk = Conversation((), origin, images=tuple(refer("<image>", path, "image", origin) for path in paths))
    assert rules.roots_from(talk, str(folder)) == {str(elsewhere)}
    assert rules.roots_from(talk, str(elsewhere)) == {str(folder)}
    assert rules.roots_from(talk, str(folder.parent)) == set()


def test_the_key_changes_with_the_rules(folder: Path) -> None:
    rules = [PictureFiles(), PictureFiles((str(folder),)), PictureFiles(addresses="fetch")]
    assert len({str(one.key) for one in rules}) == 3
