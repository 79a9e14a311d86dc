"""TextTokenizer: text <-> ids, straight on the `tokenizers` library, from tokenizer.json or tokenizer.model."""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from ..errors import ModelError
from . import sentencepiece

SPACE = sentencepiece.SPACE
CHAT_TEMPLATE = "chat_template.jinja"
"""The file beside a tokenizer that holds its chat template; it goes before tokenizer_config.json."""
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer as data needs it: no special token is added to a text unless the caller asks for it.

    `backend` is the `tokenizers.Tokenizer`; `special` maps bos_token, eos_token, unk_token and pad_token to their
    text where the folder names them; `chat_template` is the folder's Jinja template, if it has one. `add_bos`: a plain
    text begins with the begin token.
    """

    backend: Tokenizer
    special: dict[str, str] = field(default_factory=dict)
    chat_template: str | None = None
    source: str = "tokenizer"
    add_bos: bool = True

    @classmethod
    def load(cls, folder: str | Path) -> TextTokenizer:
        """Read tokenizer.json, or else tokenizer.model, with what tokenizer_config.json says beside it.

        The two files of one model do not give the same ids (MiniCPM's tokenizer.json puts a space mark in front of
        every text); transformers takes tokenizer.json where there is one, and so does this.

        Raises:
            ModelError: neither file is there, or it cannot be read.
        """
        folder = Path(folder)
        settings = _read_json(folder / "tokenizer_config.json")
        if (folder / "tokenizer.json").is_file():
            try:
                backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
            except Exception as error:  # noqa: BLE001 - the library raises bare Exception for a bad file
                raise ModelError(f"{folder}/tokenizer.json cannot be read: {error}. Fetch it again.") from None
        elif (folder / "tokenizer.model").is_file():
            backend = sentencepiece.load(folder / "tokenizer.model", _named_specials(settings))
        else:
            raise ModelError(f"'{folder}' has no tokenizer: neither tokenizer.json nor tokenizer.model is there.")
        backend.no_truncation()
        backend.no_padding()
        special = {
            role: token
            for role in ROLES
            if (token := _token_text(settings.get(role))) and backend.token_to_id(token) is not None
        }
        if not settings:  # a bare tokenizer file: the names that sentencepiece itself uses
            named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
            special = {role: token for role, token in named.items() if backend.token_to_id(token) is not None}
        add_bos = settings.get("add_bos_token") is not False
        return cls(backend, special, _chat_template(folder, settings), str(folder), add_bos)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text that stands alone, without any special token added."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of several texts, each as `encode` gives them.

        Worker processes do it in one call, a third faster. Elsewhere that would start the library's own threads, which
        cost more than a few texts are worth, and about which it warns when a process is forked later.
        """
        if os.environ.get("TOKENIZERS_PARALLELISM") != "false":
            return [self.encode(text) for text in texts]
        return [each.ids for each in self.backend.encode_batch_fast(texts, add_special_tokens=False)]

    def plain(self, keep: tuple[str, ...] = ()) -> TextTokenizer:
        """Return this tokenizer for texts of other people: no special token is recognised in them, but for `keep`.

        Somebody who types `</s>` or `<image>` has then written these characters. For encoding only.
        """
        if keep not in self._plain:
            backend = Tokenizer(self.backend.model)  # shares the vocabulary
            for part in ("normalizer", "pre_tokenizer"):
                if (value := getattr(self.backend, part)) is not None:
                    setattr(backend, part, value)
            added = sorted(self.backend.get_added_tokens_decoder().items())
            for _, token in added:
                token.special = token.special and token.content not in keep
            backend.add_tokens([token for _, token in added])
            assert all(backend.token_to_id(token.content) == number for number, token in added)
            backend.encode_special_tokens = True  # as they stand, and not as tokens
            self._plain[keep] = TextTokenizer(backend, self.special, self.chat_template, self.source, self.add_bos)
        return self._plain[keep]

    def encode_cut(self, text: str, cuts: list[int]) -> list[list[int]]:
        """Encode a text as one and return its ids in pieces that begin at the character positions `cuts` (first: 0).

        A piece does not depend on what comes after it. Where a token would stand across a cut, it is split there.
        """
        bounds = [*cuts[1:], len(text)]
        encoded = self.backend.encode(text, add_special_tokens=False)
        if all(self._stands(text, encoded, cut) for cut in cuts[1:]):
            return self._slices(encoded, cuts, bounds)
        pieces = []
        for cut, bound in zip(cuts, bounds, strict=True):
            encoded = self.backend.encode(text[:bound], add_special_tokens=False)
            # A token of bytes may end within a character; the tokens of its other bytes then belong to the fragment.
            end = cut
            for start, stop in encoded.offsets:
                if start < end < stop or start < cut < stop:
                    end = stop
            kept = [token for token, (start, _) in zip(encoded.ids, encoded.offsets, strict=True) if start >= end]
            pieces.append(kept if cut in (0, end) else [*self._fragment(text[cut:end]), *kept])
        return pieces

    def _stands(self, text: str, encoded: Encoding, cut: int) -> bool:
        """Tell whether the tokens before `cut` are those of the text that ends there.

        A token may stand across the cut, and what follows may move the ends of words before it. Special tokens part
        a text, so only what stands behind the last of them needs to be looked at.
        """
        before = bisect_left(encoded.offsets, cut, key=lambda offsets: offsets[0])
        first = next((n for n in range(before - 1, -1, -1) if encoded.ids[n] in self.added), 0)
        begin = encoded.offsets[first][0] if before and encoded.ids[first] in self.added else 0
        if before and encoded.offsets[before - 1][1] > cut:
            return False
        alone = before and first == before - 1 and encoded.ids[first] in self.added
        return bool(alone) or self.encode(text[begin:cut]) == encoded.ids[first:before]

    @staticmethod
    def _slices(encoded: Encoding, cuts: list[int], bounds: list[int]) -> list[list[int]]:
        pieces: list[list[int]] = [[] for _ in cuts]
        at = 0
        for token, (start, _) in zip(encoded.ids, encoded.offsets, strict=True):
            while at + 1 < len(cuts) and start >= bounds[at]:
                at += 1
            pieces[at].append(token)
        return pieces

    def _fragment(self, text: str) -> list[int]:
        """Return ids of a part of a token, without the space mark that some tokenizers put in front of a text."""
        if not self._marks_start:
            return self.encode(text)
        ids, rest = [], text.replace(" ", SPACE)
        while rest:
            size = next((n for n in range(len(rest), 0, -1) if self.id(rest[:n]) is not None), 0)
            found = [self.id(rest[:size])] if size else [self.id(f"<0x{byte:02X}>") for byte in rest[0].encode()]
            ids += [number if number is not None else self.unk_id for number in found]
            rest = rest[size or 1 :]
        return [number for number in ids if number is not None]

    @cached_property
    def _marks_start(self) -> bool:
        return bool(self.backend.encode("a", add_special_tokens=False).tokens[0].startswith(SPACE))

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; special tokens are left out."""
        return str(self.backend.decode(ids, skip_special_tokens=True))

    def id(self, token: str) -> int | None:
        """Return the id of a token's exact text, or None."""
        return self.backend.token_to_id(token)

    def special_id(self, role: str) -> int | None:
        """Return the id of bos_token, eos_token, unk_token or pad_token, or None where there is none."""
        return self.id(self.special[role]) if role in self.special else None

    def __getstate__(self) -> dict[str, Any]:
        """Go to another process without what is made on demand (a plain backend would forget how it was set)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _plain(self) -> dict[tuple[str, ...], TextTokenizer]:
        return {}

    @cached_property
    def bos_id(self) -> int | None:
        """The id of the token that begins a row."""
        return self.special_id("bos_token")

    @cached_property
    def eos_id(self) -> int | None:
        """The id of the token that ends an answer."""
        return self.special_id("eos_token")

    @cached_property
    def unk_id(self) -> int | None:
        """The id that stands for what the vocabulary lacks."""
        return self.special_id("unk_token")

    @cached_property
    def pad_id(self) -> int:
        """An id to fill rows with: the pad token, else the end token, else 0. Padding is masked by place, not by id."""
        pad = self.special_id("pad_token")
        return pad if pad is not None else self.eos_id if self.eos_id is not None else 0

    @cached_property
    def added(self) -> dict[int, str]:
        """The special and added tokens: id -> text."""
        return {number: token.content for number, token in self.backend.get_added_tokens_decoder().items()}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides about ids and templates."""
        parts = [
            self.backend.to_str(),
            json.dumps([self.special, self.add_bos], sort_keys=True),
            self.chat_template or "",
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}. Fetch the file again.") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a JSON object. Fetch the file again.")
    return content


def _named_specials(settings: dict[str, Any]) -> dict[int, str]:
    """Return the special tokens that tokenizer_config.json lists by id."""
    listed = settings.get("added_tokens_decoder")
    entries = listed.items() if isinstance(listed, dict) else ()
    return {
        int(number): token["content"]
        for number, token in entries
        if number.isdecimal() and isinstance(token, dict) and token.get("special") and _token_text(token)
    }


def _token_text(token: Any) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    if (folder / CHAT_TEMPLATE).is_file():
        return (folder / CHAT_TEMPLATE).read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates: the one called "default"
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None
