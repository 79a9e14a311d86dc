"""tunesmith chat RUN_OR_MODEL: one answer with --prompt, else a conversation on the terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..errors import ConfigError
from ..options import expand
from .pictures import attach
from .sampling import Sampling

if TYPE_CHECKING:
    from .session import Answer, Session


@dataclass(frozen=True)
class Options:
    """What `tunesmith chat` can be told."""

    run_or_model: Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, or a model's folder.")]
    adapter: Annotated[str | None, typer.Option(metavar="DIR", help="A LoRA adapter to put on the model.")] = None
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="Answer once and end; - reads stdin.")] = None
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="FILE", help="A picture for the first question; may be given several times."),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="With --prompt: one JSON object instead of the text.")] = False
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="The system text.")] = None
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")] = False
    temperature: Annotated[float | None, typer.Option(help="0 is --greedy. Default: the model's own, else 0.3.")] = None
    top_p: Annotated[float | None, typer.Option(help="Default: the model's own, else 0.8.")] = None
    top_k: Annotated[int | None, typer.Option(help="0: no such limit. Default: the model's own, else 50.")] = None
    repetition_penalty: Annotated[float | None, typer.Option(help="Default: the model's own, else 1 (none).")] = None
    chat_template: Annotated[
        str | None, typer.Option(metavar="NAME", help="A shipped template or a .jinja file. Default: the model's own.")
    ] = None
    max_new_tokens: Annotated[int | None, typer.Option(help="Tokens of an answer. Default: at most 1024.")] = None
    seed: Annotated[int | None, typer.Option(help="Draw the same answer to the same conversation.")] = None

    device: Annotated[str | None, typer.Option(help="Default: the GPU if there is one, else cpu.")] = None
    dtype: Annotated[str | None, typer.Option(help="bfloat16, float16, float32. Default: the stored one.")] = None

    @property
    def sampling(self) -> Sampling:
        """The sampling options."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
            greedy=self.greedy,
        )


def _chat(options: Options) -> None:
    """Talk to a run or to a model folder.

    The folder of a run is enough: it knows its base model. Without --prompt a conversation begins; /help lists what
    can be typed there. When the output goes into a file or a pipe, it holds the answers and nothing else.
    """
    sampling = options.sampling
    if options.json and options.prompt is None:
        raise ConfigError("--json needs --prompt: it describes one answer.")
    for picture in options.image or ():
        attach(picture)  # before the model is loaded, which takes its time
    prompt = sys.stdin.read().strip() if options.prompt == "-" else options.prompt
    notes = Console(stderr=True, highlight=False)
    with notes.status(f"Loading {options.run_or_model} ..."):
        session, about = _load(options, sampling)
    if prompt is None:
        from .terminal import Terminal

        Terminal(session, notes, options.image or ()).talk(f"{options.run_or_model}: {about}")
    else:
        _once(session, options, prompt, notes)


chat = expand(_chat, Options)


def _load(options: Options, sampling: Sampling) -> tuple[Session, str]:
    """Return a session with the model, and a few words about it."""
    from transformers.utils import logging

    from ..models.load import load
    from ..models.quantise import count
    from .session import Session

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    loaded = load(
        options.run_or_model,
        adapter=options.adapter,
        dtype=options.dtype,
        device=options.device,
        chat_template=options.chat_template,
    )
    size = sum(count(parameter) for parameter in loaded.model.parameters())
    number = f"{size / 1e9:.2f} billion" if size >= 1e9 else f"{size / 1e6:.1f} million"
    return Session(loaded, system=options.system, sampling=sampling), f"{number} parameters on {loaded.model.device}"


def _once(session: Session, options: Options, prompt: str, notes: Console) -> None:
    """Answer one prompt on stdout."""
    for piece in session.stream(prompt, options.image or ()):
        if not options.json:
            sys.stdout.write(piece)
            sys.stdout.flush()
    answer = session.last
    assert answer is not None  # the stream has ended
    if options.json:
        print(json.dumps(_facts(prompt, answer, options), ensure_ascii=False))
    else:
        print()
    if answer.stopped == "length":
        notes.print(f"(cut after {answer.tokens} tokens)", style="dim")


def _facts(prompt: str, answer: Answer, options: Options) -> dict[str, str | int | float | list[str]]:
    return {
        "prompt": prompt,
        **({"images": options.image} if options.image else {}),
        "answer": answer.text,
        "tokens": answer.tokens,
        "seconds": round(answer.seconds, 3),
        "model": options.run_or_model,
        "stopped": answer.stopped,
    }
