"""An advertisement uses its keywords, and no two are alike."""

from __future__ import annotations

from tunesmith.bench.datasets import advert


def test_texts_take_up_their_keywords() -> None:
    records = advert.records(200, seed=7)
    texts = [record["messages"][2]["content"] for record in records]
    assert len(set(texts)) == 200
    for record, text in zip(records, texts, strict=True):
        words = dict(part.split("#") for part in record["messages"][1]["content"].split("*"))
        assert all(words[name] in text for name in ("类型", "材质", "颜色", "风格"))
        assert 80 <= len(text) <= 200
