"""lm_eval: the tasks of lm-evaluation-harness, run by its own library on a model that is loaded already.

What the harness asks is written down in `Answerer`; the model behind it knows nothing of the harness. A task is a YAML
file: those of the library, or of a folder of the user's. Python that such a folder holds is run by the harness.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

from ..errors import ConfigError, MachineError

Pair = tuple[list[int], list[int]]
"""The ids of a context, which is never empty, and of what follows it."""


@dataclass(frozen=True)
class Asked:
    """A text that is to be gone on with: up to one of `until`, or `room` tokens; `drawn`: temperature, top_p, top_k."""

    text: str
    until: tuple[str, ...]
    room: int
    drawn: tuple[float, float | None, int | None] | None = None


class Answerer(Protocol):
    """A model as the harness asks it. `prefix` is the token before an empty context, `longest` a row in tokens."""

    name: str
    prefix: int
    longest: int

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the ids of a text; `special`: with the begin token, if the tokenizer puts one in front."""

    def rendered(self, messages: Sequence[dict[str, str]], open_turn: bool) -> str:
        """Return a conversation as the text of the chat format."""

    def score(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Return the log-probability of each continuation, and whether each of its tokens is the likeliest."""

    def write(self, asked: Sequence[Asked]) -> list[str]:
        """Return how the model goes on."""


@dataclass(frozen=True)
class Harness:
    """What is run. `folders`: of the user's own task files. `limit`: documents of a task; None: all.

    `chat`: prompts go through the chat template. `online`: data may be fetched. To forbid that is up to who starts the
    program: the libraries read HF_HUB_OFFLINE and its like once, when they are imported.
    """

    tasks: tuple[str, ...]
    folders: tuple[str, ...] = ()
    shots: int | None = None
    limit: int | None = None
    chat: bool = False
    online: bool = False
    seed: int = 0


def library() -> str:
    """Return the version of the library.

    Raises:
        MachineError: it is not installed.
    """
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        raise MachineError(
            "The tasks of lm-evaluation-harness need its library, which is not installed. Run: pip install "
            "'tunesmith[lm-eval]'"
        ) from None
    return version("lm_eval")


def run(model: Answerer, plan: Harness) -> dict[str, Any]:
    """Return the harness's own results: figures by task, versions, samples.

    Raises:
        ConfigError: there is no such task, or its file is wrong.
        MachineError: the library is missing, or the data of a task is not on this machine.
    """
    library()
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tasks = _tasks(TaskManager(include_path=list(plan.folders) or None), plan)
    found: dict[str, Any] = simple_evaluate(
        model=_language_model(model),
        tasks=tasks,
        num_fewshot=plan.shots,
        limit=plan.limit,
        apply_chat_template=plan.chat,
        bootstrap_iters=1000,
        random_seed=plan.seed,
        numpy_random_seed=plan.seed,
        torch_random_seed=plan.seed,
        fewshot_random_seed=plan.seed,
    )
    return found


def _tasks(manager: Any, plan: Harness) -> list[Any]:
    """Load the tasks one by one, so that an error can name the one it is about."""
    known = set(manager.all_tasks)
    loaded: list[Any] = []
    for name in plan.tasks:
        if name not in known:
            close = [one for one in sorted(known) if name.lower() in one.lower()][:5]
            near = f" Known with that in their names: {', '.join(close)}." if close else ""
            raise ConfigError(
                f"lm-eval knows no task '{name}'.{near} Tasks of your own: --include-path FOLDER, with YAML files in it."
            )
        try:
            loaded += manager.load([name])["tasks"].values()
        except Exception as error:  # noqa: BLE001 - datasets and the harness have dozens of kinds, all about this task
            reason = " ".join(str(error).split())[:400] or type(error).__name__
            if isinstance(error, (ConnectionError, FileNotFoundError)) or "offline" in reason.lower():
                mend = "" if plan.online else " It is not fetched unless you say so: --online."
                raise MachineError(f"The data of the task '{name}' is not on this machine.{mend} ({reason})") from None
            raise ConfigError(f"The task '{name}' cannot be loaded: {reason}") from None
    return loaded


def _language_model(model: Answerer) -> Any:
    """Return the model in the harness's own class, which exists only where the library is installed."""
    from lm_eval.api.model import TemplateLM
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    class LanguageModel(TemplateLM):  # type: ignore[misc, no-any-unimported, unused-ignore]
        """The harness's questions, handed on."""

        tokenizer_name = model.name

        @property
        def eot_token_id(self) -> int:
            """The token in front of an empty context."""
            return model.prefix

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
            """Return the ids of a text."""
            return model.encode(string, add_special_tokens is not False)

        def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
            found = model.score([(context, continuation) for _, context, continuation in requests])
            return found

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            """Return the log-probability of each text, every token once, behind as much as fits."""
            windows: list[list[Pair]] = []
            for request in requests:
                ids = model.encode(request.args[0], special=False)
                cut = get_rolling_token_windows(ids, model.prefix, model.longest - 1, context_len=1)
                windows.append([make_disjoint_window(window) for window in cut])
            scores = iter(model.score([window for text in windows for window in text]))
            return [sum(next(scores)[0] for _ in text) for text in windows]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            """Return how the model goes on."""
            return model.write([_asked(*request.args) for request in requests])

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            """Return a conversation as text."""
            return model.rendered(chat_history, add_generation_prompt)

    return LanguageModel()


def _asked(text: str, settings: dict[str, Any]) -> Asked:
    until = settings.get("until") or ()
    temperature = float(settings.get("temperature") or 0.0)
    drawn = None
    if temperature > 0 and settings.get("do_sample", True):
        drawn = (temperature, settings.get("top_p"), settings.get("top_k"))
    room = int(settings.get("max_gen_toks") or settings.get("max_new_tokens") or 256)
    return Asked(text, tuple([until] if isinstance(until, str) else until), room, drawn)
