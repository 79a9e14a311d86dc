"""What watches a run: metrics on disk, progress on the terminal, signals that end it cleanly."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from rich import progress as bars
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from transformers import TrainerCallback

from ..runs import RunFolder
from .distributed.ranks import Ranks
from .preferences import ACCURACY, MARGIN

if TYPE_CHECKING:
    from .trainer import TuneTrainer

NOTICED = 0.05
"""The share of the time spent waiting for batches from which on it is shown."""


def peak_memory() -> int:
    """Return the peak memory in bytes: allocated on the GPU if there is one in use, else resident in this process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    # ru_maxrss is in KiB on Linux and in bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@dataclass
class Progress:
    """How far the run is, kept where it can be read when the run fails."""

    step: int = 0
    loss: float | None = None


class StopSignal:
    """Remembers the first SIGINT or SIGTERM; a second one raises KeyboardInterrupt at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.number: int | None = None
        self._say = say

    def _handle(self, number: int, _: Any) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        name = signal.Signals(number).name
        self._say(f"{name}: saving at the next optimiser step, then ending. Once more ends at once, without saving.")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take over both signals for the time of a block (only possible in the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Flow(TrainerCallback):
    """Saves and stops after a signal; evaluates once more at the last step."""

    def __init__(self, stop: StopSignal, progress: Progress, ranks: Ranks = Ranks()) -> None:  # noqa: B008
        self.stop, self.progress, self.ranks = stop, progress, ranks

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Decide at the boundary of an optimiser step, never inside an accumulation, and on all ranks alike."""
        self.progress.step = state.global_step
        self.stop.number = self.ranks.most(self.stop.number or 0) or None
        if self.stop.number is not None:
            control.should_save = control.should_training_stop = True
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = True
        return control


class Metrics(TrainerCallback):
    """Appends one line to metrics.jsonl for every logged step."""

    def __init__(self, run: RunFolder, trainer: TuneTrainer, progress: Progress) -> None:
        self.run, self.trainer, self.progress = run, trainer, progress
        self.last: dict[str, Any] = {}
        self._mark = (time.perf_counter(), 0.0, 0.0)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._mark = self._now()

    def _now(self) -> tuple[float, float, float]:
        """Return the clock, the tokens of all ranks, and the seconds that they have waited for batches, on average."""
        ranks = self.trainer.ranks
        tokens, waited = ranks.total(self.trainer.tokens_seen, self.trainer.waits.seconds)
        return time.perf_counter(), tokens, waited / ranks.world

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Write the line: the losses, and how fast and how large the run is."""
        if not logs or not ("loss" in logs or "eval_loss" in logs):
            return
        line = {"step": state.global_step, **{key: value for key, value in logs.items() if key != "total_flos"}}
        if "loss" in logs:
            self.progress.loss = logs["loss"]
            before, self._mark = self._mark, self._now()
            seconds, tokens, waited = (new - old for new, old in zip(self._mark, before, strict=True))
            line["tokens_per_second"] = round(tokens / seconds, 1)
            line["seconds"] = round(seconds, 4)
            line["wait_share"] = round(waited / seconds, 4)
            line["peak_memory"] = peak_memory()
        self.last.update(line)
        self.run.add_metrics(line)


class Screen(TrainerCallback):
    """Shows progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, metrics: Metrics) -> None:
        self.console, self.metrics = console, metrics
        self._printed = 0.0
        self._bar = bars.Progress(
            bars.TextColumn("[bold]train"),
            bars.BarColumn(bar_width=None),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("train", total=None)
        # The numbers stand in a line of their own, so that 80 columns are enough.
        self._live = Live(
            get_renderable=lambda: Group(self._bar, *map(Text, (self._facts(), *self._advice()))), console=console
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the bar, already at the step that a resumed run begins with."""
        if self.console.is_terminal:
            self._bar.reset(self._task, total=state.max_steps, completed=state.global_step)
            self._live.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Where there is no terminal, print loss, learning rate, tokens per second and memory now and then."""
        if not logs or not ("loss" in logs or "eval_loss" in logs) or self._live.is_started:
            return
        now = time.monotonic()
        if "eval_loss" in logs or now - self._printed > 5 or state.global_step >= args.max_steps:
            self._printed = now
            text = "  ".join((f"step {state.global_step}/{args.max_steps}", self._facts(), *self._advice()))
            self.console.print(text, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the bar on the screen as it is; safe to call at any time."""
        self._live.stop()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the finished bar on the screen."""
        self.close()

    def _facts(self) -> str:
        last, parts = self.metrics.last, []
        if "loss" in last:
            parts += [
                f"loss {last['loss']:.4f}",
                *([f"margin {last[MARGIN]:.2f}"] if MARGIN in last else []),
                f"lr {last['learning_rate']:.1e}",
                f"{last['tokens_per_second']:,.0f} tok/s",
                f"{last['peak_memory'] / 2**30:.1f} GiB",
            ]
        if "eval_loss" in last:
            right = f" {last[f'eval_{ACCURACY}']:.0%}" if f"eval_{ACCURACY}" in last else ""
            parts.append(f"eval {last['eval_loss']:.4f}{right}")
        return "  ".join(parts)

    def _advice(self) -> list[str]:
        """Return a line about steps that wait for their batches, if they do."""
        share = self.metrics.last.get("wait_share", 0.0)
        if share <= NOTICED:
            return []
        stream = self.metrics.trainer.order is None
        return [f"{share:.0%} of the time waits for data; raise {'data.processes' if stream else 'training.workers'}"]
