"""tunesmith eval RUN_OR_MODEL DATA...: loss, answers and choices on files of records, beside other models."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ..config.text import YamlError, parse
from ..data.chat import RenderOptions
from ..data.picture_files import Addresses, PictureFiles
from ..errors import ConfigError
from ..generate.sampling import Sampling
from ..options import expand
from ..runs import CONFIG, STATUS


@dataclass(frozen=True)
class Options:
    """What `tunesmith eval` can be told."""

    run_or_model: Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, or a model's folder.")]
    data: Annotated[
        list[str] | None, typer.Argument(metavar="[DATA...]", help="Files, folders or patterns of records.")
    ] = None
    baseline: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN_OR_MODEL", help="Another model on the same rows; may be repeated."),
    ] = None
    task: Annotated[
        list[str] | None,
        typer.Option(help="perplexity, answer, choice; may be repeated. Default: what the records allow."),
    ] = None
    metric: Annotated[list[str] | None, typer.Option(help="Of answers; may be repeated. Default: all that apply.")] = (
        None
    )
    choices: Annotated[str | None, typer.Option(metavar="A,B,C", help="What every record's answer is chosen from.")] = (
        None
    )
    every_answer: Annotated[
        bool, typer.Option("--every-answer", help="Ask for each answer of a record, not the last one alone.")
    ] = False
    output: Annotated[str | None, typer.Option(metavar="DIR", help="Default: a folder under runs/eval.")] = None
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of the table.")] = False
    on_bad: Annotated[Literal["stop", "skip"], typer.Option(help="What to do about bad records.")] = "stop"
    format: Annotated[str | None, typer.Option(metavar="NAME", help="Default: found out from the records.")] = None
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Cut rows to this many tokens. Default: as the run, else the context.")
    ] = None
    end_of_turn: Annotated[
        Literal["every", "last"] | None,
        typer.Option(help="Which answers' ends count. Default: as the run, else every."),
    ] = None
    loss_on: Annotated[
        Literal["answers", "last_answer", "all"] | None,
        typer.Option(help="What counts for the loss. Default: as the run, else answers."),
    ] = None
    max_new_tokens: Annotated[int | None, typer.Option(help="Tokens of an answer. Default: at most 1024.")] = None
    temperature: Annotated[float | None, typer.Option(help="Draw answers. Default: always the likeliest token.")] = None
    top_p: Annotated[float | None, typer.Option(help="With --temperature.")] = None
    top_k: Annotated[int | None, typer.Option(help="With --temperature; 0: no such limit.")] = None
    repetition_penalty: Annotated[float | None, typer.Option(help="Default: the model's own, else 1 (none).")] = None
    seed: Annotated[int, typer.Option(help="Of the bootstrap, and of drawn answers.")] = 0
    batch_size: Annotated[int, typer.Option(min=1, help="Answers at once.")] = 32
    chat_template: Annotated[
        str | None, typer.Option(metavar="NAME", help="A shipped template or a .jinja file. Default: the model's own.")
    ] = None
    picture_root: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="Pictures may lie here too; may be repeated.")
    ] = None
    fetch_pictures: Annotated[bool, typer.Option("--fetch-pictures", help="Fetch pictures of the web.")] = False
    device: Annotated[str | None, typer.Option(help="Default: the GPU if there is one, else cpu.")] = None
    dtype: Annotated[str | None, typer.Option(help="bfloat16, float16, float32. Default: the stored one.")] = None
    lm_eval: Annotated[
        str | None, typer.Option(metavar="TASK,TASK", help="Tasks of lm-evaluation-harness, in place of DATA.")
    ] = None
    include_path: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="lm-eval: task files of your own; may be repeated.")
    ] = None
    shots: Annotated[int | None, typer.Option(min=0, help="lm-eval: examples in the prompt. Default: the task's.")] = (
        None
    )
    limit: Annotated[int | None, typer.Option(min=1, help="lm-eval: documents of each task. Default: all.")] = None
    chat: Annotated[bool, typer.Option("--chat", help="lm-eval: prompts through the chat template.")] = False
    online: Annotated[bool, typer.Option("--online", help="lm-eval: fetch the data of its tasks.")] = False

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn: greedily unless a temperature is given.

        Raises:
            ConfigError: a value out of range, or one that has no effect.
        """
        drawn = self.temperature is not None and self.temperature > 0
        if not drawn and (self.top_p is not None or self.top_k is not None):
            raise ConfigError("--top-p and --top-k need --temperature: without it the likeliest token is always taken.")
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed if drawn else None,
            greedy=not drawn,
        )

    @property
    def render_options(self) -> RenderOptions:
        """How rows are made: as asked for, else as the run made them, else as training does by default."""
        own = _of_run(self.run_or_model)
        given = {"max_length": self.max_length, "end_of_turn": self.end_of_turn, "loss_on": self.loss_on}
        return RenderOptions(**(own | {name: value for name, value in given.items() if value is not None}))

    @property
    def choice_texts(self) -> tuple[str, ...]:
        """The choices of all records.

        Raises:
            ConfigError: fewer than two, or two alike.
        """
        if self.choices is None:
            return ()
        texts = tuple(text.strip() for text in self.choices.split(","))
        if len(texts) < 2 or len(set(texts)) != len(texts) or not all(texts):
            raise ConfigError(f"--choices '{self.choices}': give two or more texts with commas between, no two alike.")
        return texts


def _eval(options: Options) -> None:
    """Evaluate a run or a model on files of records: its loss, its answers, its choices.

    Example: tunesmith eval runs/mine test.json --baseline openbmb/MiniCPM-2B-sft-bf16

    Prompts and stop rules are those of chat, the loss is that of training. Every row goes into results.json; with
    --baseline both models are compared on the same rows. The same command again goes on where it was stopped.
    """
    if options.lm_eval is not None:
        return _harness(options)
    own = [name for name in ("include_path", "shots", "limit", "chat", "online") if getattr(options, name)]
    if own:
        raise ConfigError(f"--{own[0].replace('_', '-')} belongs to --lm-eval, which is not given.")
    if not options.data:
        raise ConfigError(
            "Nothing to evaluate on: give DATA, files of records, or tasks of lm-evaluation-harness (--lm-eval)."
        )
    from transformers.utils import logging

    from .lineup import Lineup
    from .report import print_legend, tables
    from .run import Plan, evaluate
    from .source import Source

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    addresses: Addresses = "fetch" if options.fetch_pictures else "refuse"
    source = Source(
        options.data,
        options.render_options,
        options.on_bad,
        options.format,
        PictureFiles.of(options.picture_root or (), addresses, "--picture-root"),
        options.choice_texts,
        options.every_answer,
    )
    plan = Plan(
        (options.run_or_model, *(options.baseline or ())),
        source,
        Lineup(options.dtype, options.device, options.chat_template),
        tuple(options.task or ()),
        {"sampling": options.sampling, "batch_size": options.batch_size, "metrics": tuple(options.metric or ())},
        None if options.output is None else Path(options.output),
        options.seed,
    )
    notes = Console(stderr=True, highlight=False)
    try:
        found = evaluate(plan, notes)
    except KeyboardInterrupt:
        notes.print("Stopped. What is done is kept; the same command goes on from there.")
        raise
    for error in source.report.bad:
        notes.print(f"Left out: {error}", markup=False, soft_wrap=True)
    for note in found.notes:
        notes.print(note, markup=False, soft_wrap=True)
    if options.json:
        print(json.dumps({name: found.content[name] for name in ("models", "summary")}, ensure_ascii=False, indent=2))
    else:
        screen = Console(file=sys.stdout, highlight=False)
        for made in tables([_short(name, plan.models) for name in plan.models], found.lines):
            screen.print(made)
        print_legend(screen, found.lines)
    notes.print(f"Wrote {found.folder / 'results.json'}: every row.", markup=False, soft_wrap=True)


def _harness(options: Options) -> None:
    """Run tasks of lm-evaluation-harness; without --online nothing may use the network."""
    if options.data:
        raise ConfigError(
            "--lm-eval has tasks with data of their own. Evaluate your files with a command of their own."
        )
    if not options.online:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):  # read when these are imported
            os.environ[name] = "1"
    from transformers.utils import logging

    from .harness import Harness, run, table
    from .lineup import Lineup

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tasks = tuple(name.strip() for name in (options.lm_eval or "").split(",") if name.strip())
    folders = tuple(options.include_path or ())
    if missing := [folder for folder in folders if not Path(folder).is_dir()]:
        raise ConfigError(
            f"--include-path: '{missing[0]}' is not a folder. Give the one that holds the task's YAML file."
        )
    plan = Harness(tasks, folders, options.shots, options.limit, options.chat, options.online, options.seed)
    names = (options.run_or_model, *(options.baseline or ()))
    notes, screen = Console(stderr=True, highlight=False), Console(file=sys.stdout, highlight=False)
    lineup = Lineup(options.dtype, options.device, options.chat_template)
    folder, lines, said = run(names, plan, lineup, None if options.output is None else Path(options.output), notes)
    for note in said:
        notes.print(note, markup=False, soft_wrap=True)
    if options.json:
        print(json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=2))
    else:
        screen.print(table([_short(name, names) for name in names], lines))
    notes.print(f"Wrote {folder / 'results.json'}: every document.", markup=False, soft_wrap=True)


eval_ = expand(_eval, Options)


def _short(name: str, models: tuple[str, ...]) -> str:
    """Return the last part of a model's path, if that tells it from the others."""
    last = [Path(one).name for one in models]
    return Path(name).name if last.count(Path(name).name) == 1 else name


def _of_run(name: str) -> dict[str, Any]:
    """Return how a run made its rows; nothing for what is no run."""
    folder = Path(name)
    if not ((folder / CONFIG).is_file() and (folder / STATUS).is_file()):
        return {}
    try:
        data = parse((folder / CONFIG).read_text(encoding="utf-8"))[0]["data"]
    except (YamlError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'{folder / CONFIG}' is damaged: {error}. Give the folder of the run's result instead ({folder / 'adapter'} "
            f"or {folder / 'model'})."
        ) from None
    return {field: data[field] for field in ("max_length", "end_of_turn", "loss_on") if field in data}
