"""Which encoding a text is in: UTF-8, or what its bytes say beyond doubt; never a guess that changes a text silently.

A byte order mark decides. Else the text is UTF-8 if its first bytes are, and it stays UTF-8 (with an error that names
the line) if only a few of its characters are broken. Else the older encodings of Chinese, Japanese, Korean and Western
Europe are tried: the text must decode without fault and then consist of the characters that are common there.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

from ...errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_SIGNS = frozenset(
    "，。、；：？！“”‘’（）《》【】「」『』—…·～％＋－＝／\u3000〈〉〔〕．０１２３４５６７８９×°℃→←■●○◆★△▲※①②③④⑤⑥⑦⑧⑨⑩"
)
_KANA = frozenset(map(chr, range(0x3041, 0x30FF)))
_LATIN = frozenset("àâäáãåæçèéêëìíîïñòóôöõøœùúûüýÿßÀÂÄÁÅÆÇÈÉÊËÍÎÑÓÔÖØŒÚÜ’‘“”„‚–—…•«»‹›¿¡°§²³€£©®™·´½¼\xa0")
_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家"
    "种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十"
    "民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯"
    "月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女"
    "变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基"
    "眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今"
    "切院让识候带导争运请回答写请输入出句"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家"
    "種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十"
    "民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯"
    "月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女"
    "變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基"
    "眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今"
    "切院讓識候帶導爭運請答寫請輸句"
)
_HANGUL = (
    "이다는을의에가로고하지은를한도사기나리아자어시스일서정해인그으라대니요안습수있게보것들주전제구부상과만까와년면여"
    "원무장우성공소중연했었세였트마러선생동문경않동신오물비국유조적해드말내경모때위또거없아습되될할합려각질녕좋개름네"
    "음저방학교회"
)


@dataclass(frozen=True)
class Encoding:
    """`codec`: Python's name of it; `name`: its name for people; `mark`: how many bytes the byte order mark takes."""

    codec: str
    name: str
    mark: int = 0

    @property
    def is_utf8(self) -> bool:
        """Whether bytes can be taken as they are."""
        return self.codec == "utf-8"


UTF8 = Encoding("utf-8", "UTF-8")
_WESTERN = Encoding("cp1252", "Windows-1252")
_WITHIN = re.compile(rb"(?<=[A-Za-z])[\xc0-\xff]|[\xc0-\xff](?=[A-Za-z])")
_CUT = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
_HANDFUL = 4


def detect(head: bytes, whole: bool) -> Encoding:
    """Return the encoding of a text from its first bytes (`whole`: these are all of them).

    UTF-8 is also the answer where nothing fits: reading then names the line.
    """
    for mark, codec, name in _MARKS:
        if head.startswith(mark):
            return Encoding(codec, name, len(mark))
    if b"\0" in head:
        return _wide(head) or UTF8
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
        return UTF8
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # nothing else is wrong with it: cut within a character
            return UTF8
    return UTF8 if _is_broken_utf8(head) else _older(head, whole) or UTF8


def not_utf8(file: str, line: int, byte: int) -> DataError:
    """Return the error for a byte that is no part of a UTF-8 character."""
    return DataError(
        f"{file}, line {line}: it is not UTF-8 (byte 0x{byte:02x} is no part of a character). It may "
        "be GBK or another older encoding, or cut within a character. Save the file as UTF-8."
    )


def _wide(head: bytes) -> Encoding | None:
    """Return UTF-16 without a mark: zero bytes stand nearly all at one side, and the text has no control characters."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) < 3 * min(even, odd) or max(even, odd) * 50 < len(head):
        return None
    codec = "utf-16-le" if odd > even else "utf-16-be"
    counts = _decoded(head, codec, whole=False)
    known = frozenset(map(chr, range(128))).union(*(usual for _, usual, _ in _older_encodings()))
    if counts is None or sum(n for char, n in counts.items() if char in known) < 0.75 * sum(counts.values()):
        return None
    return Encoding(codec, "UTF-16")


def _decoded(head: bytes, codec: str, whole: bool) -> Counter[str] | None:
    """Count the characters of a text; None if it does not decode, or holds characters that no text has."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head, final=whole)
    except UnicodeDecodeError:
        return None
    counts = Counter(text)
    odd = (char for char in counts if (char < " " and char not in "\t\n\r\f") or "\x7f" <= char < "\xa0")
    return None if any(True for _ in odd) else counts


def _is_broken_utf8(head: bytes) -> bool:
    """Tell whether most characters beyond ASCII are right in UTF-8; by chance few of another encoding's are."""
    counts = Counter(head.decode("utf-8", "replace"))
    broken = counts.pop("\ufffd", 0)
    right = sum(count * (2 if char > "\u07ff" else 1) for char, count in counts.items() if char > "\x7f")
    return right >= 2 * broken


@cache
def _older_encodings() -> tuple[tuple[Encoding, frozenset[str], frozenset[str]], ...]:
    """Return (encoding, characters that nearly all of its texts consist of, its most frequent characters)."""

    def zone(codec: str, first: range, second: tuple[range, ...]) -> frozenset[str]:
        pairs = (bytes((a, b)).decode(codec, "ignore") for a in first for part in second for b in part)
        return frozenset(filter(None, pairs)) | _SIGNS

    high = (range(0xA1, 0xFF),)
    kanji = zone("euc_jp", range(0xB0, 0xD0), high)
    return (
        (Encoding("gb18030", "GB18030"), zone("gb2312", range(0xB0, 0xD8), high), frozenset(_SIMPLIFIED)),
        (
            Encoding("cp950", "Big5"),
            zone("big5", range(0xA4, 0xC7), (range(0x40, 0x7F), *high)),
            frozenset(_TRADITIONAL),
        ),
        (Encoding("cp932", "Shift-JIS"), kanji | _KANA, _KANA),
        (Encoding("euc_jp", "EUC-JP"), kanji | _KANA, _KANA),
        (Encoding("cp949", "EUC-KR"), zone("euc_kr", range(0xB0, 0xC9), high), frozenset(_HANGUL)),
    )


def _older(head: bytes, whole: bool) -> Encoding | None:
    """Return the older encoding whose common characters the text consists of.

    A handful of characters says little: they must be among the most frequent ones of Chinese then.
    """
    best, most = None, 0.0
    for encoding, usual, frequent in _older_encodings():
        counts = _decoded(head, encoding.codec, whole)
        beyond = {char: count for char, count in (counts or {}).items() if char > "\x7f"}
        if not (total := sum(beyond.values())):
            continue
        share = sum(count for char, count in beyond.items() if char in usual) / total
        often = sum(count for char, count in beyond.items() if char in frequent) / total
        if total < _HANDFUL and (encoding.codec != "gb18030" or often < 0.5):
            continue
        if share >= 0.75 and share + often > most:
            best, most = encoding, share + often
    return best or (_WESTERN if _is_western(head) else None)


def _is_western(head: bytes) -> bool:
    """Tell whether the bytes beyond ASCII are letters within words of ASCII letters, or signs of such a text.

    A letter and signs behind it may be a UTF-8 character that was cut: where these are most, the text is broken UTF-8.
    """
    counts = _decoded(head, _WESTERN.codec, whole=True)
    if counts is None:
        return False
    beyond = {char: count for char, count in counts.items() if char > "\x7f"}
    usual = sum(count for char, count in beyond.items() if char in _LATIN)
    letters = sum(count for char, count in beyond.items() if char.isalpha())
    within, cut = len(_WITHIN.findall(head)), len(_CUT.findall(head))
    if letters < 3 * cut:
        return False
    return letters > 0 and usual >= 0.9 * sum(beyond.values()) and within >= 0.75 * letters
