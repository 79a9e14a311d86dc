"""Which files a path stands for: a file, a folder, a pattern, or a folder that the `datasets` library wrote."""

from __future__ import annotations

import difflib
import glob
import json
from pathlib import Path
from typing import Any

from ...errors import DataError
from .contents import suffix

RECORDS = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow"})
TEXTS = frozenset({".txt", ".md"})
_NO_DATA = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
_STATE, _SPLITS = "state.json", "dataset_dict.json"


def expand(path: str) -> list[str]:
    """Return the data files that a path stands for, in an order that is always the same.

    A folder stands for the data files in it, sorted by name, without hidden ones and without those of its folders;
    texts (.txt, .md) count where there is nothing else, so that a README beside the data is none. A pattern (`*`,
    `?`, `[..]`, `**` for folders of any depth) stands for the files it fits. A folder written by `save_to_disk` of
    the `datasets` library stands for its Arrow files.

    Raises:
        DataError: nothing is there, or no data file.
    """
    there = Path(path)
    if there.is_dir():
        return _folder(there, path)
    if not there.exists() and glob.has_magic(path):
        return _fitting(path)
    check_is_file(there, path)
    return [path]


def check_is_file(file: Path, name: str) -> None:
    """Check that a path is a file.

    Raises:
        DataError: it is not; the message says what is there or nearest.
    """
    if file.is_file():
        return
    if file.is_dir():
        inside = [path.name for path in _data_files(file)]
        there = f" It holds {', '.join(inside[:5])}{' ...' if len(inside) > 5 else ''}." if inside else ""
        raise DataError(f"'{name}' is a folder, not a file of records.{there} Give the path of a file.")
    if file.exists():
        raise DataError(f"'{name}' is no ordinary file (a device or a pipe?). Give the path of a JSON or JSONL file.")
    if not file.parent.is_dir():
        raise DataError(f"There is no file '{name}': the folder '{file.parent}' does not exist either.")
    beside = [path.name for path in file.parent.iterdir() if path.is_file()]
    close = difflib.get_close_matches(file.name, beside, n=1, cutoff=0.5)
    hint = f" Did you mean '{file.with_name(close[0])}'?" if close else " Check the path."
    raise DataError(f"There is no file '{name}'.{hint}")


def _folder(folder: Path, name: str) -> list[str]:
    if (folder / _SPLITS).is_file():
        splits = _content(folder / _SPLITS).get("splits")
        splits = [split for split in splits if isinstance(split, str)] if isinstance(splits, list) else []
        if len(splits) == 1:
            return _folder(folder / splits[0], f"{name}/{splits[0]}")
        raise DataError(
            f"'{name}' holds the splits {', '.join(splits) or '(none)'} of a data set. Give one of them: "
            f"'{folder / (splits or ['train'])[0]}'."
        )
    if (folder / _STATE).is_file() and (folder / "dataset_info.json").is_file():
        return _saved(folder, name)
    if not folder.is_dir():
        raise DataError(f"There is no folder '{name}'.")
    if files := _data_files(folder):
        return [str(file) for file in files]
    deeper = any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())
    hint = f" It holds folders: give one of them, or '{folder / '**' / '*.jsonl'}'." if deeper else ""
    known = ", ".join(sorted(RECORDS | TEXTS))
    raise DataError(f"The folder '{name}' holds no data file ({known}, also packed as .gz or .zst).{hint}")


def _data_files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and _may_be_data(path))
    return [path for path in files if suffix(path.name) in RECORDS] or files


def _may_be_data(path: Path) -> bool:
    known = suffix(path.name) in RECORDS | TEXTS
    return known and not path.name.startswith(".") and path.name not in _NO_DATA


def _fitting(pattern: str) -> list[str]:
    """Return the files that a pattern fits; if it names no suffix, the data files among them."""
    found = [path for path in sorted(set(glob.glob(pattern, recursive=True))) if Path(path).is_file()]
    if "." not in Path(pattern).name:
        found = [path for path in found if suffix(path) in RECORDS and Path(path).name not in _NO_DATA]
    if not found:
        raise DataError(f"No data file fits the pattern '{pattern}'. Check the folder and the ending.")
    return found


def _saved(folder: Path, name: str) -> list[str]:
    """Return the Arrow files of a saved data set in the order of its rows."""
    state = _content(folder / _STATE)
    listed = state.get("_data_files")
    listed = listed if isinstance(listed, list) else []
    names = [str(entry.get("filename")) for entry in listed if isinstance(entry, dict)]
    if not names:
        raise DataError(f"'{folder / _STATE}' names no data file: the saved data set is empty or damaged.")
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise DataError(
            f"'{name}' is a saved data set with a list of chosen rows beside it, as old versions of datasets wrote it. "
            "Load it and save it again: load_from_disk(...).flatten_indices().save_to_disk(...)."
        )
    for one in names:
        if Path(one).name != one or not (folder / one).is_file():
            raise DataError(f"'{folder / _STATE}' names '{one}', which is not there. Was the folder copied in part?")
    return [str(folder / one) for one in names]


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"'{file}' of a saved data set cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise DataError(f"'{file}' of a saved data set is not a JSON object.")
    return content
