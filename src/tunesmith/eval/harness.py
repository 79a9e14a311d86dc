"""Tasks of lm-evaluation-harness: what it asks, answered by a loaded model in our own batches, and what it finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from .. import __version__
from ..data.types import IGNORE, Conversation, Example, Message
from ..edges import lm_eval
from ..edges.lm_eval import Asked, Harness, Pair
from ..errors import ConfigError, MachineError
from ..generate.decode import Prompt, Voice, context_of
from ..generate.sampling import Sampling
from ..generate.writer import Writer
from ..models.load import Loaded, resolve
from ..models.segments import packing_of
from ..runs import read_json, write_json
from .likelihood import Likelihood, batches
from .lineup import Lineup
from .report import finite
from .run import PLACE, RESULTS

__all__ = ["Answers", "Harness", "Line", "run", "table"]
TOKENS, ROWS, CONTEXT = 4096, 32, 4096
"""Tokens that go through the model at once; texts at once; the longest row of a model without a limit of its own."""


@dataclass(frozen=True)
class Line:
    """A figure of the harness: of every model, each with its standard error (None where it gives none)."""

    task: str
    figure: str
    values: tuple[tuple[float, float | None], ...]


class Answers:
    """A loaded model as `edges.lm_eval.Answerer`; `cut` counts the rows that were cut at the left to fit."""

    def __init__(self, loaded: Loaded, name: str, seed: int = 0) -> None:
        self._likelihood, self._voice = Likelihood(loaded), Voice(loaded)
        self.name, self.cut, self._seed = name, 0, seed
        self._tokenizer = self._likelihood.tokenizer
        begin = self._tokenizer.bos_id
        self.prefix: int = begin if begin is not None else self._voice.stop_ids[0]
        self.longest = context_of(self._likelihood.inner.config) or CONTEXT
        packing = packing_of(self._likelihood.inner)
        self._alone_from = None if isinstance(packing, str) else packing.longest

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the ids of a text; `special`: with the begin token, if the tokenizer puts one in front."""
        ids = self._tokenizer.encode(text)
        begin = self._tokenizer.bos_id
        whole = special and self._tokenizer.add_bos and begin is not None and ids[:1] != [begin]
        return [self.prefix, *ids] if whole else ids

    def rendered(self, messages: Sequence[dict[str, str]], open_turn: bool) -> str:
        """Return a conversation as the text of the model's chat format."""
        talk = Conversation(tuple(Message(one["role"], one["content"]) for one in messages))
        return "".join(piece.text for piece in self._voice.chat.pieces(talk, open_turn))

    def score(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Return the log-probability of each continuation, and whether each of its tokens is the likeliest."""
        rows = [self._row(context, continuation) for context, continuation in pairs]
        found: list[tuple[float, bool]] = [(0.0, True)] * len(rows)
        for numbers in batches([len(row.input_ids) for row in rows], TOKENS, self._alone_from):
            results = self._likelihood.logps_and_hits([rows[number] for number in numbers])
            for number, (logps, hits) in zip(numbers, results, strict=True):
                found[number] = (float(logps.sum()), bool(hits.all()))
        return found

    def write(self, asked: Sequence[Asked]) -> list[str]:
        """Return how the model goes on, rows of similar length together; a stop rule of the chat ends an answer too."""
        prompts = [self._prompt(one) for one in asked]
        texts = [""] * len(asked)
        order = sorted(range(len(asked)), key=lambda number: (str(asked[number].drawn), -len(prompts[number].ids)))
        while order:
            first = asked[order[0]].drawn
            batch = [number for number in order[:ROWS] if asked[number].drawn == first]
            order = order[len(batch) :]
            writers = [self._writer(asked[number]) for number in batch]
            self._voice.answer([prompts[number] for number in batch], writers, self._sampling(first))
            for number, writer in zip(batch, writers, strict=True):
                texts[number] = writer.text
        return texts

    def _row(self, context: list[int], continuation: list[int]) -> Example:
        """Return a row whose labels are the continuation; what is too long is cut at the left, as the harness does."""
        ids = [*context, *continuation]
        self.cut += len(ids) > self.longest
        ids = ids[-self.longest :]
        learned = min(len(continuation), len(ids) - 1)  # the first token of a row cannot be predicted
        return Example(ids, [IGNORE] * (len(ids) - learned) + ids[len(ids) - learned :])

    def _prompt(self, asked: Asked) -> Prompt:
        ids, room = self.encode(asked.text), min(asked.room, self.longest - 1)
        self.cut += len(ids) > self.longest - room
        ids = ids[-(self.longest - room) :]
        return Prompt(Example(ids, [IGNORE] * len(ids)), room)

    def _writer(self, asked: Asked) -> Writer:
        stops = (*self._voice.chat.stop_texts, *asked.until)
        return Writer(self._voice.tokenizer, self._voice.stop_ids, stops)

    def _sampling(self, drawn: tuple[float, float | None, int | None] | None) -> Sampling:
        if drawn is None:
            return Sampling(greedy=True, repetition_penalty=1.0)
        temperature, top_p, top_k = drawn
        return Sampling(temperature, top_p, top_k, repetition_penalty=1.0, seed=self._seed)


def run(
    names: Sequence[str], plan: Harness, lineup: Lineup, output: Path | None, console: Console
) -> tuple[Path, list[Line], list[str]]:
    """Let every model do the tasks, write results.json, and return its folder, the figures, and what is to be said.

    Raises:
        UserError: the library, a task, its data or a model is not there, or the folder holds other results.
    """
    found: list[dict[str, Any]] = []
    notes: list[str] = []
    version = lm_eval.library()
    folder, key = _open(names, plan, output)
    for name in names:
        with console.status(f"Loading {name} ..."):
            loaded = lineup.load(name)
        answers = Answers(loaded, name, plan.seed)
        console.print(f"{name}: {', '.join(plan.tasks)} (lm-eval {version})", style="dim", markup=False, soft_wrap=True)
        result = lm_eval.run(answers, plan)
        found.append(
            {"name": name, "fingerprint": lineup.fingerprint(name, loaded), "cut": answers.cut, **_kept(result)}
        )
        if answers.cut:
            notes.append(
                f"{name}: {answers.cut} rows were longer than {answers.longest} tokens and are cut at the left."
            )
    told = {"settings": asdict(plan), "models": found, "notes": notes}
    content = {"tunesmith": __version__, "lm_eval": version, "key": key, **told}
    write_json(folder / RESULTS, finite(json.loads(json.dumps(content, default=str))))
    return folder, _lines(found), notes


def _open(names: Sequence[str], plan: Harness, output: Path | None) -> tuple[Path, str]:
    """Return the folder of the results, made, and the key of what is asked.

    Raises:
        ConfigError: the folder holds results of something else. MachineError: it cannot be written.
    """
    places = [str(resolve(name)) for name in names]
    key = hashlib.sha256(json.dumps([places, asdict(plan)], sort_keys=True).encode()).hexdigest()
    folder = output or PLACE / f"{Path(names[0]).resolve().name}-lm-eval-{key[:8]}"
    before = read_json(folder / RESULTS)
    if before is not None and before.get("key") != key:
        raise ConfigError(
            f"'{folder}' holds the results of another evaluation. Choose another --output, or remove that folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"'{folder}' cannot be written: {error.strerror}. Choose another --output.") from None
    return folder, key


def table(names: Sequence[str], lines: Sequence[Line]) -> Table:
    """Return the figures of all models side by side."""
    made = Table("task", "figure", *(Column(name, no_wrap=True) for name in names))
    for line in lines:
        cells = (f"{value:.4f}" + ("" if error is None else f" ± {error:.4f}") for value, error in line.values)
        made.add_row(line.task, line.figure, *cells)
    return made


def _kept(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result[key] for key in ("results", "versions", "n-shot", "n-samples", "samples") if key in result}


def _lines(found: Sequence[dict[str, Any]]) -> list[Line]:
    """Return the figures; in the harness a key is "name,filter", that of its error "name_stderr,filter"."""
    lines = []
    for task, figures in found[0]["results"].items():
        for key in figures:
            name, comma, kind = key.partition(",")
            if not comma or name.endswith("_stderr") or not isinstance(figures[key], (int, float)):
                continue
            values = []
            for model in found:
                own = model["results"][task]
                error = own.get(f"{name}_stderr,{kind}")
                values.append((float(own[key]), float(error) if isinstance(error, (int, float)) else None))
            lines.append(Line(task, name if kind == "none" else f"{name} ({kind})", tuple(values)))
    return lines
