"""The sections of the card that come from the files of the run: state, what was trained, data, curves, settings."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from statistics import median
from typing import Any

from ..data.show.visible import one_line
from ..runs import PACKAGES
from ..training.setup import step_rows
from .facts import Facts
from .figures import Curve, draw
from .numbers import duration, memory, number
from .words import say

SHOWN_BAD = 20


def text(value: object) -> str:
    """Return a value of the run or its data in one line, escaped, with everything invisible named."""
    return escape(one_line(str(value)))


def section(name: str, parts: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """Yield a section with its heading."""
    yield f'<section id="{name}"><h2>{say(name)}</h2>\n'
    yield from parts
    yield "</section>\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table of HTML cells, which scrolls by itself where it is too wide; columns of `numbers` stand right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{_right(place in numbers)}>{cell}</{tag}>" for place, cell in enumerate(row))

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{cells("th", heads)}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _right(yes: bool) -> str:
    return ' class="n"' if yes else ""


def facts_list(items: Mapping[str, str]) -> str:
    """Return names in both languages and their values (HTML) as a list."""
    return f'<dl class="facts">{"".join(f"<div><dt>{say(k)}</dt><dd>{v}</dd></div>" for k, v in items.items())}</dl>\n'


def state(facts: Facts) -> tuple[str, str]:
    """Return how the run ended: the name of its badge, and what is to be said of it."""
    status, step = facts.status, facts.status.get("step", 0)
    if facts.state == "finished":
        if status.get("verified"):
            return "verified", f"<p>{say('verified_text', number(status.get('max_logit_difference')))}</p>\n"
        return "finished", f"<p>{say('unverified_text')}</p>\n"
    if facts.state == "failed":
        reason = f"<pre>{escape(str(status.get('reason', '')))}</pre>"
        return "failed", f'<div class="fault"><p>{say("failed_text", step)}</p>{reason}</div>\n'
    if facts.state == "interrupted":
        return "interrupted", f'<div class="fault"><p>{say("interrupted_text", step)}</p></div>\n'
    return "running", f'<div class="fault"><p>{say("running_text", facts.state)}</p></div>\n'


def trained(facts: Facts) -> Iterator[str]:
    """Yield what was trained, how, and on what machine."""
    config, settings = facts.config, facts.config.training
    usual = config.tuning.model_dump(include={"rank", "alpha"})
    tuning = {**usual, **config.tuning.model_dump(exclude_defaults=True, exclude={"method"})}
    ranks = facts.environment.get("ranks", 1)
    rows = f"{step_rows(config, ranks):,}"
    each = say("rows_step", rows) if settings.batch_tokens is None else say("batches_step", rows, settings.batch_tokens)
    items = {"model": text(config.model)}
    if facts.base_fingerprint:
        items["base_print"] = f"<code>{text(facts.base_fingerprint[:16])}</code>"
    items["method"] = text(", ".join([config.tuning.method, *(f"{name} {value}" for name, value in tuning.items())]))
    items["objective"] = text(config.objective.method)
    own, base = facts.parameters
    if own:
        counted = (f"{own:,}", f"{base:,}") if facts.result_is_adapter and base else (f"{own:,}",)
        items["parameters"] = say("in_adapter" if len(counted) == 2 else "in_model", *counted)
    items["result"] = text(facts.result) if facts.result else say("no_result")
    items["steps"] = f"{facts.status.get('step', 0):,}; {each}"
    items["rate"] = text(f"{config.learning_rate:g}, {settings.schedule}; {settings.optimizer}")
    items["device"] = _device(facts)
    items["seed"] = text(settings.seed)
    if speeds := facts.series("tokens_per_second"):
        items["speed"] = say("per_second", f"{median(value for _, value in speeds):,.0f}")
    if peaks := facts.series("peak_memory"):
        items["memory"] = memory(max(value for _, value in peaks))
    yield facts_list(items)


def _device(facts: Facts) -> str:
    known, machine = facts.environment, facts.environment.get("machine", {})
    parts = [text(known["device"])] if "device" in known else []
    parts += [say("processes", known["ranks"])] if known.get("ranks", 1) > 1 else []
    parts += [say("threads", known["threads"])] if known.get("device") == "cpu" and "threads" in known else []
    parts += [text(machine["system"])] if "system" in machine else []
    return "; ".join(parts) or say("unknown")


def data(facts: Facts) -> Iterator[str]:
    """Yield the files of the run with their fingerprints, and what was found in them."""
    if not facts.data:
        yield f"<p>{say('no_data')}</p>\n"
        return
    parts = {"training": facts.data, "validation": facts.data.get("validation", {})}
    files = [(use, file) for use, part in parts.items() for file in part.get("files", [])]
    yield table(
        [say(name) for name in ("file", "use", "format", "records", "used", "left_out", "sha")],
        [
            [
                f'<span class="path">{text(file["path"])}</span>',
                say(use),
                text(file["format"]),
                f"{file['records']:,}",
                f"{file['kept'] - file['unlearned']:,}",
                f"{len(file['bad']):,}",
                f"<code>{text(file['sha256'][:16])}</code>" if file.get("sha256") else say("unknown"),
            ]
            for use, file in files
        ],
        numbers=(3, 4, 5),
    )
    tokens, learned = (f"{facts.data[name]:,}" for name in ("tokens", "label_tokens"))
    yield f"<p>{say('tokens_text', tokens, learned)}</p>\n"
    if share := facts.config.data.validation_share:
        yield f"<p>{say('share_text', f'{share:.0%}')}</p>\n"
    yield from _findings(files, [part for part in parts.values() if part])
    yield f"<p class='quiet'>{say('rows_print')}: <code class='path'>{text(facts.data.get('fingerprint', ''))}</code></p>\n"


def _findings(files: list[tuple[str, dict[str, Any]]], parts: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what was cut, left out or read in another way than usual."""
    cuts = [[f"{part[name]:,}" for name in ("cut_rows", "cut_tokens", "cut_label_tokens")] for part in parts]
    found = [f"<li>{say('cut_text', *cut)}</li>" for cut in cuts if cut[0] != "0"]
    found += [f"<li>{text(file['path'])}: {text(note)}</li>" for _, file in files for note in file["notes"]]
    unlearned = sum(file["unlearned"] for _, file in files)
    found += [f"<li>{say('disliked', f'{unlearned:,}')}</li>"] if unlearned else []
    bad = [(file["path"], error) for _, file in files for error in file["bad"]]
    if bad:
        named = "".join(f"<li>{text(_named(path, error))}</li>" for path, error in bad[:SHOWN_BAD])
        more = f"<li>{say('more_bad', len(bad) - SHOWN_BAD)}</li>" if len(bad) > SHOWN_BAD else ""
        found.append(f"<li>{say('bad_text')}<ul>{named}{more}</ul></li>")
    yield f'<ul class="found">{"".join(found)}</ul>\n' if found else f"<p>{say('nothing_found')}</p>\n"


def _named(path: str, error: dict[str, Any]) -> str:
    line = f", line {error['line']}" if error.get("line") is not None else ""
    return f"{path}, record {error.get('index')}{line}: {error['field']}: {error['reason']} {error['mend']}"


def curves(facts: Facts) -> Iterator[str]:
    """Yield the curves of what the run logged."""
    series = facts.series
    if not series("loss"):
        yield f"<p>{say('no_curves')}</p>\n"
        return
    made = [Curve("loss", series("loss"), series("eval_loss"), smooth=True)]
    made.append(Curve("learning_rate", series("learning_rate"), form=lambda value: f"{value:.1e}" if value else "0"))
    made.append(Curve("grad_norm", series("grad_norm")))
    made.append(Curve("tokens_per_second", series("tokens_per_second"), form=lambda value: f"{value:,.0f}"))
    mebibytes = [(step, value / 2**20) for step, value in series("peak_memory")]
    made.append(Curve("peak_memory", mebibytes, form=lambda value: f"{value:,.0f}"))
    made.append(Curve("wait_share", series("wait_share"), form=lambda value: f"{value:.1%}"))
    yield '<div class="curves">\n'
    for curve in made:
        if curve.line:
            yield _figure(curve)
    yield f"</div>\n<p class='quiet'>{say('over_steps')}</p>\n"


def _figure(curve: Curve) -> str:
    caption = f"<b>{say(curve.name)}</b>"
    if curve.name == "loss":
        caption += f'<span class="key first">{say("train_line")}</span>'
        if curve.dots:
            step, least = min(curve.dots, key=lambda one: one[1])
            caption += f'<span class="key second">{say("validation_line")}: {say("smallest", number(least), f"{step:,}")}</span>'
    return f"<figure><figcaption>{caption}</figcaption>{draw(curve)}</figure>\n"


def tiles(items: Sequence[tuple[str, str, str]]) -> str:
    """Return the figures at the top: name, value (HTML), what it is (HTML)."""
    shown = "".join(
        f"<div><dt>{say(name)}</dt><dd>{value}<small>{about}</small></dd></div>" for name, value, about in items
    )
    return f'<dl class="tiles">{shown}</dl>\n'


def steps_tile(facts: Facts) -> tuple[str, str, str]:
    """Return how far the run came, and how long that took."""
    return (
        "tile_steps",
        f"{facts.status.get('step', 0):,}",
        say("in_time", duration(facts.seconds)) if facts.lines else "",
    )


def commands(facts: Facts, own: Sequence[str]) -> Iterator[str]:
    """Yield what to type; `own` is the command that made this page."""
    folder, config = str(facts.folder), facts.config
    data_files = config.data.validation or ["FILE"]
    listed: dict[str, list[str]] = {}
    if facts.result is None:
        listed["resume"] = ["train", f"{folder}/config.yaml"]
    else:
        listed["talk"] = ["chat", folder]
        listed["evaluate"] = ["eval", folder, *data_files, "--baseline", config.model]
        listed["hand_over"] = ["export", folder, "--target", "merged"]
        listed["train_again"] = ["train", f"{folder}/config.yaml", f"output={folder}-again"]
    listed["again"] = ["reproduce", folder]
    listed["this"] = ["report", *own]
    yield '<dl class="commands">'
    for name, words in listed.items():
        yield f"<div><dt>{say(name)}</dt><dd><code>{escape(shlex.join(['tunesmith', *words]))}</code></dd></div>\n"
    yield "</dl>\n"


def versions(facts: Facts, now: Mapping[str, str]) -> Iterator[str]:
    """Yield the versions of the run, and those that made this page."""
    then = {**facts.environment.get("versions", {}), "Python": facts.environment.get("machine", {}).get("python", "")}
    rows = [[text(name), text(then.get(name) or "–"), text(now.get(name, "–"))] for name in (*PACKAGES, "Python")]
    yield table([say("package"), say("in_run"), say("on_page")], rows)


def settings(facts: Facts) -> Iterator[str]:
    """Yield the whole configuration, folded."""
    yield f"<details><summary>{say('settings_text')}</summary><pre>{escape(facts.text)}</pre></details>\n"
