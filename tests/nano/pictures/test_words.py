"""The names: complete in both languages, each name says one thing, and English grammar where it is made."""

from __future__ import annotations

from tunesmith.nano.pictures import painting, words


def test_every_name_is_there_in_both_languages_and_says_one_thing() -> None:
    assert len(words.SHAPES) == 6 and len(words.COLOURS) == 8
    for names in (words.SHAPES, words.COLOURS, words.BACKGROUNDS, words.PLACES):
        for language in words.LANGUAGES:
            texts = [name[language] for name in names.values()]
            assert all(texts) and len(set(texts)) == len(texts)
    assert set(words.AT) == set(words.PLACES) and set(words.NUMBERS) == {2, 3, 4, 5}
    assert set(painting.COLOURS) == set(words.COLOURS) and set(painting.BACKGROUNDS) == set(words.BACKGROUNDS)


def test_english_forms() -> None:
    assert words.article("orange star") == "an orange star" and words.article("circle") == "a circle"
    assert words.plural("cross") == "crosses" and words.plural("star") == "stars"
