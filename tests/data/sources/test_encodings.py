"""An encoding is what the bytes say beyond doubt, or UTF-8 with an error that names the line."""

from __future__ import annotations

import pytest

from tunesmith.data.sources.encodings import UTF8, detect, not_utf8

CHINESE = "请把下面这句话翻译成英文，并说明理由。今天天气很好，我们去公园走走吧！"
TEXTS = {
    "gb18030": CHINESE,
    "cp950": "請問這個問題應該怎麼回答呢？我們可以從歷史的角度來說明。",
    "cp932": "今日はとても天気がいいですね。カタカナも読めますか。",
    "euc_jp": "今日はとても天気がいいですね。カタカナも読めますか。",
    "cp949": "안녕하세요. 저는 한국어를 공부하는 학생입니다. 오늘 날씨가 좋네요.",
    "cp1252": "Le café où l’été s’achève, une Straße in Köln, mañana",
}


@pytest.mark.parametrize("codec", TEXTS)
@pytest.mark.parametrize("times", [1, 300])
def test_older_encodings(codec: str, times: int) -> None:
    data = f'[{{"instruction": "{TEXTS[codec] * times}", "output": ""}}]'.encode(codec)
    assert detect(data, whole=True).codec == codec
    assert detect(data[: len(data) * 2 // 3], whole=False).codec == codec


@pytest.mark.parametrize("text", ["你好", "再见", "是的。", "我们", CHINESE[:8], "Hello, 世界你好!"])
def test_short_chinese(text: str) -> None:
    assert detect(f'{{"a": "{text}"}}\n'.encode("gbk"), whole=True).name == "GB18030"


@pytest.mark.parametrize("text", ["x", CHINESE, *TEXTS.values(), "Привет", "🙂"])
def test_utf8(text: str) -> None:
    data = text.encode()
    assert detect(data, whole=True) == UTF8 and detect(b"\xef\xbb\xbf" + data, whole=True).mark == 3
    assert all(detect(data[:cut], whole=whole) == UTF8 for cut in range(len(data)) for whole in (True, False))


@pytest.mark.parametrize("text", ["你好", CHINESE, TEXTS["cp949"], TEXTS["cp932"]])
def test_broken_utf8_stays_utf8(text: str) -> None:
    data = f'{{"a": "{text}"}}'.encode()
    for at in range(7, len(data) - 2):
        for broken in (
            data[:at] + data[at + 1 :],
            data[:at] + b"\xff" + data[at + 1 :],
            data[:at] + b"\xb0" + data[at:],
        ):
            assert detect(broken, whole=True) == UTF8, broken


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings(codec: str) -> None:
    text = f'[{{"instruction": "{CHINESE}"}}, {{"a": "一丁"}}]'
    found = detect(f"\ufeff{text}".encode(codec), whole=True)
    assert found.codec == codec and found.mark == (2 if "16" in codec else 4)
    if "16" in codec:
        assert detect(text.encode(codec), whole=True).codec == codec


@pytest.mark.parametrize(
    "data", [b"[\0\1\2", bytes(range(256)) * 4, "Привет, как дела".encode("cp1251"), b"\x81\xff\xff"]
)
def test_no_guess(data: bytes) -> None:
    assert detect(data, whole=True) == UTF8


def test_the_error_names_line_and_byte() -> None:
    assert str(not_utf8("a.json", 3, 0xE9)).startswith("a.json, line 3: it is not UTF-8 (byte 0xe9 ")
