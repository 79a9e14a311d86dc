"""Valid data files of every format, and how to make their twins: the same records in another dress, or with one fault."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import ipc, parquet

Record = dict[str, Any]

CODE = "def f(x):\n\tif x != \"y\":  # {{ jinja }}\n\t\treturn '\\n' + x[::-1]  \n"
LONG = "　　落霞与孤鹜齐飞，秋水共长天一色。渔舟唱晚，响穷彭蠡之滨；雁阵惊寒，声断衡阳之浦。\n" * 60
ODD = "全角：，。！？；“引号”‘单’《书》【方】—— …… ＡＢＣ１２３\u2028行\u2029段\x85次\u00a0空\u200b零\ufeff宽"
EMOJI = "你好👋🏽，一家人👩‍👩‍👧‍👦，旗🇨🇳，古字𠮷。"
SYSTEM = " 你是一个助手。 "
PICTURE = "a 图.jpg"
TOOLS = '[{"name": "weather", "parameters": {"city": {"type": "string"}}}]'
CALL = '{"name": "weather", "arguments": {"city": "北京"}}'
PAIRS = "请判断下边两个句子的关系属于 [entailment, neutral, contradiction]中的哪一种？\n句子1: {}\n句子2：{}\n"
ADVERTISE = "你是一个广告生成助手，你的任务是根据用户提供的产品信息和广告类型，生成相应的广告文案。"


def turns(who: str, what: str, *said: tuple[str, str]) -> list[Record]:
    return [{who: role, what: text} for role, text in said]


HUMAN, BOT = ("from", "value")
VALID: dict[str, list[tuple[Record, list[str]]]] = {
    "messages": [
        ({"messages": turns("role", "content", ("user", EMOJI), ("assistant", CODE))}, [EMOJI, CODE]),
        (
            {
                "id": 7,
                "messages": turns("role", "content", ("system", SYSTEM), ("user", ODD), ("assistant", " 好 "))
                + [{"role": "user", "content": "再来？"}, {"role": "assistant", "content": EMOJI, "train": False}]
                + turns("role", "content", ("user", CODE), ("assistant", LONG)),
            },
            [SYSTEM, ODD, " 好 ", "再来？", EMOJI + "!", CODE, LONG],
        ),
        (
            {
                "tools": TOOLS,
                "messages": turns("role", "content", ("user", "北京天气"), ("assistant", "查一下"))
                + turns("role", "content", ("tool", "晴\t21°C"), ("assistant", "今天晴，二十一度。")),
            },
            [TOOLS, "北京天气", "查一下", "晴\t21°C", "今天晴，二十一度。"],
        ),
    ],
    "sharegpt": [
        ({"conversations": turns("from", "value", ("human", EMOJI), ("gpt", ODD))}, [EMOJI, ODD]),
        (
            {"conversations": turns("from", "value", ("system", SYSTEM), ("human", "写代码。"), ("gpt", CODE))},
            [SYSTEM, "写代码。", CODE],
        ),
        (
            {
                "system": SYSTEM,
                "tools": TOOLS,
                "conversations": turns("from", "value", ("human", "北京天气"), ("function_call", CALL))
                + turns("from", "value", ("observation", "晴"), ("gpt", LONG)),
            },
            [TOOLS, SYSTEM, "北京天气", CALL, "晴", LONG],
        ),
    ],
    "alpaca": [
        ({"instruction": "翻译：", "input": EMOJI, "output": ODD}, [f"翻译：\n{EMOJI}", ODD]),
        (
            {"instruction": LONG, "input": "", "output": CODE, "system": SYSTEM, "history": [["一", "1"], [ODD, CODE]]},
            [SYSTEM, "一", "1", ODD, CODE, LONG, CODE],
        ),
        ({"instruction": "写一首诗，春天的。", "output": " 春眠不觉晓，\n处处闻啼鸟。"}, ["写一首诗，春天的。", " 春眠不觉晓，\n处处闻啼鸟。"]),
    ],
    "vision": [
        (
            {"image": PICTURE, "conversations": turns("role", "content", ("user", "<image>\n有什么？"), ("assistant", EMOJI))},
            ["<image>\n有什么？", EMOJI, "<image>"],
        ),
        (
            {"image": PICTURE, "conversations": turns("from", "value", ("human", ODD), ("gpt", CODE))},
            [f"<image>\n{ODD}", CODE, "<image>"],
        ),
        (
            {"image": PICTURE, "conversations": turns("role", "content", ("user", "这是谁？"), ("assistant", LONG))},
            ["<image>\n这是谁？", LONG, "<image>"],
        ),
    ],
    "preference": [
        ({"prompt": EMOJI, "chosen": "好的，我来说。", "rejected": CODE}, [EMOJI, "好的，我来说。", f"-{CODE}"]),
        ({"prompt": ODD, "chosen": LONG, "rejected": " 不行 "}, [ODD, LONG, "- 不行 "]),
        ({"prompt": "他们是谁？", "chosen": "我们的人。", "rejected": "这是一个问题。"}, ["他们是谁？", "我们的人。", "-这是一个问题。"]),
    ],
    "completion": [
        ({"prompt": EMOJI, "completion": CODE}, [EMOJI, CODE]),
        ({"prompt": ODD, "completion": LONG}, [ODD, LONG]),
        ({"prompt": "天在下雨吗？ ", "completion": "\n在下。"}, ["天在下雨吗？ ", "\n在下。"]),
    ],
    "text": [({"text": EMOJI + ODD}, [EMOJI + ODD]), ({"text": LONG, "id": 3}, [LONG]), ({"text": CODE}, [CODE])],
    "ocnli": [
        (
            {"sentence1": EMOJI, "sentence2": "天气很好，我们去玩。", "label": "neutral"},
            [PAIRS.format(EMOJI, "天气很好，我们去玩。"), "neutral"],
        ),
        ({"sentence1": ODD, "sentence2": LONG, "label": "entailment"}, [PAIRS.format(ODD, LONG), "entailment"]),
        ({"sentence1": "他来了{}", "sentence2": "没人来", "label": "contradiction", "id": 1}, [PAIRS.format("他来了{}", "没人来"), "contradiction"]),
    ],
    "advertisegen": [
        ({"content": "类型#上衣*颜色#白色", "summary": EMOJI}, [ADVERTISE, "类型#上衣*颜色#白色", EMOJI]),
        ({"content": ODD, "summary": LONG}, [ADVERTISE, ODD, LONG]),
        ({"content": "类型#裤*版型#宽松", "summary": CODE + "宽松的裤子，显瘦。"}, [ADVERTISE, "类型#裤*版型#宽松", CODE + "宽松的裤子，显瘦。"]),
    ],
}  # fmt: skip
"""For each format its records, with all texts that must come out; "!" marks an answer that is not learned, "-" the
worse one."""


def records(format: str) -> list[Record]:
    return [deepcopy(record) for record, _ in VALID[format]]


def expected(format: str) -> list[list[str]]:
    return [texts for _, texts in VALID[format]]


# --- the same records in another dress -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dress:
    """A way to write records into a file: the file's suffix and its bytes."""

    suffix: str
    write: Callable[[list[Record]], bytes]


def dumps(record: Any, **options: Any) -> str:
    return json.dumps(record, ensure_ascii=options.pop("ascii", False), **options)


def lines(records: list[Record], end: str = "\n", **options: Any) -> str:
    return "".join(dumps(record, **options) + end for record in records)


def as_list(records: list[Record], **options: Any) -> str:
    return dumps(records, **options) + "\n"


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def table(records: list[Record]) -> pa.Table:
    names = list(dict.fromkeys(name for record in records for name in record))
    return pa.table({name: [record.get(name) for record in records] for name in names})


def as_parquet(records: list[Record]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table(records), sink)
    return sink.getvalue()


def as_arrow(records: list[Record]) -> bytes:
    sink, content = io.BytesIO(), table(records)
    with ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=2)
    return sink.getvalue()


def as_csv(records: list[Record], delimiter: str = ",", end: str = "\n") -> str:
    """Quote every cell; lists become JSON texts, missing fields empty cells."""
    names = list(dict.fromkeys(name for record in records for name in record))
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    for record in records:
        cells = [record.get(name, "") for name in names]
        writer.writerow([dumps(cell) if isinstance(cell, (list, dict)) else cell for cell in cells])
    return sink.getvalue()


def reversed_keys(record: Any) -> Any:
    if isinstance(record, dict):
        return {name: reversed_keys(record[name]) for name in reversed(record)}
    return [reversed_keys(part) for part in record] if isinstance(record, list) else record


def with_more(record: Record) -> Record:
    more = {
        "source": "网页",
        "id": 10**30,
        "score": float("nan"),
        "meta": {"tags": [1, None], "x": {}},
        "": "",
        "备注": None,
    }
    return {**more, **record}


DRESSES = {
    "lines": Dress(".jsonl", lambda r: lines(r).encode()),
    "no final newline": Dress(".jsonl", lambda r: lines(r).rstrip("\n").encode()),
    "byte order mark": Dress(".jsonl", lambda r: b"\xef\xbb\xbf" + lines(r).encode()),
    "CRLF": Dress(".jsonl", lambda r: lines(r, "\r\n").encode()),
    "CR": Dress(".jsonl", lambda r: lines(r, "\r").encode()),
    "CR CRLF": Dress(".jsonl", lambda r: lines(r, "\r\r\n").encode()),
    "trailing space": Dress(".jsonl", lambda r: lines(r, " \t \n").encode()),
    "leading space": Dress(".jsonl", lambda r: ("\n \t" + lines(r, "\n  \t")).encode()),
    "blank lines": Dress(".jsonl", lambda r: ("\n\n" + lines(r, "\n \n\n")).encode()),
    "escaped": Dress(".jsonl", lambda r: lines(r, ascii=True).encode("ascii")),
    "escaped slashes": Dress(".jsonl", lambda r: lines(r).replace("/", "\\/").encode()),
    "keys reversed": Dress(".jsonl", lambda r: lines([reversed_keys(each) for each in r]).encode()),
    "unknown fields": Dress(".jsonl", lambda r: lines([with_more(each) for each in r]).encode()),
    "lines called json": Dress(".json", lambda r: lines(r).encode()),
    "lines called txt": Dress(".txt", lambda r: lines(r).encode()),
    "lines called csv": Dress(".csv", lambda r: lines(r).encode()),
    "lines called gz, not packed": Dress(".jsonl.gz", lambda r: lines(r).encode()),
    "lines without a suffix": Dress("", lambda r: lines(r).encode()),
    "objects over lines": Dress(".json", lambda r: lines(r, indent=4).encode()),
    "objects without space": Dress(".jsonl", lambda r: ("\n" + lines(r, "", indent=1)).encode()),
    "list": Dress(".json", lambda r: as_list(r).encode()),
    "list over lines": Dress(".json", lambda r: as_list(r, indent="\t").encode()),
    "list with CRLF": Dress(".json", lambda r: as_list(r, indent=2).replace("\n", "\r\n").encode()),
    "list with a mark": Dress(".json", lambda r: b"\xef\xbb\xbf \n" + as_list(r, ascii=True).encode()),
    "list called jsonl": Dress(".jsonl", lambda r: as_list(r, indent=2).encode()),
    "list called parquet": Dress(".parquet", lambda r: as_list(r).encode()),
    "UTF-16 little": Dress(".jsonl", lambda r: b"\xff\xfe" + lines(r).encode("utf-16-le")),
    "UTF-16 big, CRLF": Dress(".jsonl", lambda r: b"\xfe\xff" + lines(r, "\r\n").encode("utf-16-be")),
    "UTF-16 list": Dress(".json", lambda r: as_list(r, indent=1).encode("utf-16")),
    "UTF-32": Dress(".jsonl", lambda r: lines(r).encode("utf-32")),
    "gzip": Dress(".jsonl.gz", lambda r: gzip.compress(lines(r).encode(), mtime=0)),
    "gzip list": Dress(".json.gz", lambda r: gzip.compress(as_list(r, indent=2).encode(), mtime=0)),
    "gzip in parts": Dress(
        ".jsonl.gz", lambda r: b"".join(gzip.compress(lines([each]).encode(), mtime=0) for each in r)
    ),
    "gzip without suffix": Dress(".jsonl", lambda r: gzip.compress(lines(r).encode(), mtime=0)),
    "zstd": Dress(".jsonl.zst", lambda r: zstd(lines(r).encode())),
    "zstd in parts": Dress(".jsonl.zst", lambda r: b"".join(zstd(lines([each]).encode()) for each in r)),
    "Parquet": Dress(".parquet", as_parquet),
    "Parquet called json": Dress(".json", as_parquet),
    "Arrow": Dress(".arrow", as_arrow),
}
TABLES = {
    "CSV": Dress(".csv", lambda r: as_csv(r).encode()),
    "CSV, CRLF, mark": Dress(".csv", lambda r: b"\xef\xbb\xbf" + as_csv(r, end="\r\n").encode()),
    "CSV, semicolons": Dress(".csv", lambda r: as_csv(r, ";").encode()),
    "CSV, gzip": Dress(".csv.gz", lambda r: gzip.compress(as_csv(r).encode(), mtime=0)),
    "TSV": Dress(".tsv", lambda r: as_csv(r, "\t").encode()),
}
"""Only for formats whose fields are texts, or lists in columns that are known for it."""
NOT_IN_TABLES = ("vision",)

OLDER = {
    "lines": Dress(".jsonl", lambda r: lines(r).encode("gb18030")),
    "list": Dress(".json", lambda r: as_list(r, indent=1).encode("gb18030")),
    "CRLF, gzip": Dress(".jsonl.gz", lambda r: gzip.compress(lines(r, "\r\n").encode("gb18030"), mtime=0)),
    "zstd list": Dress(".json.zst", lambda r: zstd(as_list(r).encode("gb18030"))),
    "called txt": Dress(".txt", lambda r: lines(r).encode("gb18030")),
}
"""Files in GB18030, for texts without control characters such as U+0085: by these, texts are told from other bytes."""


def without(value: Any, character: str) -> Any:
    """Remove a character from all texts of a value."""
    if isinstance(value, dict):
        return {name: without(part, character) for name, part in value.items()}
    if isinstance(value, list):
        return [without(part, character) for part in value]
    return value.replace(character, "") if isinstance(value, str) else value


# --- one fault in the second of three records ------------------------------------------------------------------------

SITES: dict[str, dict[str, tuple[Any, ...]]] = {
    "messages": {
        "messages": ("messages",),
        "messages[1].role": ("messages", 1, "role"),
        "messages[1].content": ("messages", 1, "content"),
        "messages[2].content": ("messages", 2, "content"),
        "messages[6].content": ("messages", 6, "content"),
    },
    "sharegpt": {
        "conversations": ("conversations",),
        "conversations[1].from": ("conversations", 1, "from"),
        "conversations[1].value": ("conversations", 1, "value"),
        "conversations[2].value": ("conversations", 2, "value"),
    },
    "alpaca": {"instruction": ("instruction",), "output": ("output",)},
    "vision": {
        "conversations": ("conversations",),
        "conversations[0].from": ("conversations", 0, "from"),
        "conversations[1].value": ("conversations", 1, "value"),
    },
    "preference": {"prompt": ("prompt",), "chosen": ("chosen",), "rejected": ("rejected",)},
    "completion": {"prompt": ("prompt",), "completion": ("completion",)},
    "text": {"text": ("text",)},
    "ocnli": {"sentence1": ("sentence1",), "sentence2": ("sentence2",), "label": ("label",)},
    "advertisegen": {"content": ("content",), "summary": ("summary",)},
}
"""For each format the fields that its second record cannot do without: the name in messages, and the way there."""

GONE = object()
FAULTS: dict[str, Any] = {
    "missing": GONE,
    "null": None,
    "empty": "",
    "blank": " \n\t　",
    "number": 5,
    "float": -0.5,
    "true": True,
    "object": {"a": "b"},
    "list of numbers": [1, 2],
    "empty object": {},
    "half a pair": "a\ud83d",
}


def with_fault(record: Record, path: tuple[Any, ...], value: Any) -> Record:
    """Set what stands at the end of a path, or remove it."""
    changed = deepcopy(record)
    at: Any = changed
    for step in path[:-1]:
        at = at[step]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return changed


def misspelt(record: Record, path: tuple[Any, ...]) -> tuple[Record, str]:
    """Swap two letters in the middle of a field's name; return the wrong name too."""
    changed, name = deepcopy(record), path[-1]
    at: Any = changed
    for step in path[:-1]:
        at = at[step]
    middle = next(n for n in range(len(name) // 2, len(name)) if name[n] != name[n - 1])
    wrong = name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :]
    at[wrong] = at.pop(name)
    return changed, wrong
