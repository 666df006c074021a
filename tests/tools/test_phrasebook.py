"""The phrasebook: its size, its splits, its grammar, its errors, and the shipped tables."""

import gzip
import hashlib
import logging
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import jieba
import pytest
import sacremoses

from s2s_cli.errors import S2SError
from tools.phrasebook.__main__ import TABLES, write_tables
from tools.phrasebook.expand import Splits, expand_phrasebook
from tools.phrasebook.format import parse_phrasebook

jieba.setLogLevel(logging.ERROR)

ROOT = Path(__file__).parents[2]

TINY = """
[person] zh | en | agree
我 | I | 1
你 | you | 2
她 | she | 3
[fruit] zh | en | many | agree
苹果 | apple | apples | 2
米饭 | rice | rice | 3
[thing] zh | en | measure
大学 | university | 所
雨伞 | umbrella | 把
制服 | uniform | 件
小时 | hour | 个
老人 | honest man | 个
[verb] zh | en | s
唱歌 | sing | sings
"""

SEED = ("我喜欢学习机器学习。", "I like studying machine learning.")


@cache
def embedded_text() -> str:
    return (ROOT / "tools/phrasebook/phrasebook.txt").read_text(encoding="utf-8")


@cache
def embedded() -> Splits:
    return expand_phrasebook()


def every_pair() -> list[tuple[str, str]]:
    return embedded().train + embedded().valid + embedded().test


def expand_tiny(*patterns: str) -> set[str]:
    pairs = expand_phrasebook(TINY + "[patterns]\n" + "\n".join(patterns)).train
    return {en for _, en in pairs}


def test_the_phrasebook_holds_its_promised_patterns_and_entries() -> None:
    book = parse_phrasebook(embedded_text())
    assert len(book.patterns) >= 150
    assert len(book.entries) >= 700


def test_the_splits_have_their_promised_sizes() -> None:
    assert [len(part) for part in embedded()] == [10_000, 500, 500]


def test_every_sentence_is_there_once_in_each_language() -> None:
    pairs = every_pair()
    assert len({zh for zh, _ in pairs}) == len(pairs)
    assert len({en for _, en in pairs}) == len(pairs)


def test_two_hash_seeds_expand_alike() -> None:
    program = (
        "import hashlib; from tools.phrasebook.expand import expand_phrasebook as e; "
        "print(hashlib.sha256(repr(e()).encode()).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    here = hashlib.sha256(repr(embedded()).encode()).hexdigest()
    assert digests == [here, here]


def test_every_word_of_valid_and_test_is_known_from_train() -> None:
    cut, split = jieba.Tokenizer().cut, sacremoses.MosesTokenizer("en").tokenize
    chinese = Counter(token for zh, _ in embedded().train for token in cut(zh))
    english = Counter(token for _, en in embedded().train for token in split(en, escape=False))
    for zh, en in embedded().valid + embedded().test:
        assert [token for token in cut(zh) if chinese[token] < 2] == [], zh
        assert [token for token in split(en, escape=False) if english[token] < 2] == [], en


def test_the_english_vocabulary_is_small_but_not_tiny() -> None:
    split = sacremoses.MosesTokenizer("en").tokenize
    words = {token.lower() for _, en in every_pair() for token in split(en, escape=False)}
    assert 900 <= len(words) <= 1_600


def test_the_seed_sentence_stands_in_test_only_and_train_prepares_for_it() -> None:
    assert SEED in embedded().test
    train = dict(embedded().train)
    assert SEED[0] not in train
    assert train["他喜欢学习机器学习。"] == "He likes studying machine learning."
    assert train["我喜欢学习历史。"] == "I like studying history."
    assert train["机器学习很有意思。"] == "Machine learning is very interesting."


def test_no_template_shows_through_in_any_sentence() -> None:
    for zh, en in every_pair():
        assert not any(mark in zh + en for mark in ("{", "}", "[", "]", "|", "  ", "a(n)")), en
        assert zh[-1] in "。？！"
        assert en[-1] in ".?!"
        assert en[0].isupper()
        assert en.isascii()
        assert not any(mark in zh for mark in " ,.?!")


def test_every_entry_is_used_five_times_in_train() -> None:
    train = [(zh, en.lower()) for zh, en in embedded().train]
    for entry in parse_phrasebook(embedded_text()).entries:
        word = entry.forms["zh"]
        english = [form.lower() for column, form in entry.forms.items() if column != "zh"]
        uses = sum(word in zh and any(form in en for form in english) for zh, en in train)
        assert uses >= 5, word


def test_valid_and_test_are_drawn_over_most_patterns() -> None:
    # A pattern shows in its sentence ends; sharing them out means many different ends.
    ends = {zh[-4:] for zh, _ in embedded().valid + embedded().test}
    assert len(ends) > 300


def test_a_verb_agrees_with_its_subject() -> None:
    assert expand_tiny("{person}唱。 | {person} [like|likes] to sing.") == {
        "I like to sing.",
        "You like to sing.",
        "She likes to sing.",
    }


def test_three_options_agree_with_the_first_second_and_third_person() -> None:
    assert expand_tiny("{person}好。 | {person} [am|are|is] well.") == {
        "I am well.",
        "You are well.",
        "She is well.",
    }


def test_an_agreement_can_name_its_subject_and_hold_slots() -> None:
    assert "She thinks that rice is good." in expand_tiny(
        "{person}想{fruit}。 | {person} [think|thinks] that {fruit.many} [are|is:fruit] good."
    )
    assert "She sings." in expand_tiny("{person}{verb}。 | {person} [{verb}|{verb.s}].")


def test_the_article_follows_the_sound_of_the_next_word() -> None:
    assert expand_tiny("一{thing.measure}{thing}。 | a(n) {thing}.") == {
        "A university.",
        "An umbrella.",
        "A uniform.",
        "An hour.",
        "An honest man.",
    }


@pytest.mark.parametrize(
    ("word", "article"),
    [("useful", "a"), ("European", "a"), ("one-way", "a"), ("uninteresting", "an"), ("egg", "an")],
)
def test_the_article_knows_the_exceptions(word: str, article: str) -> None:
    pairs = expand_phrasebook(f"[patterns]\n这是一。 | This is a(n) {word} thing.").train
    assert pairs == [("这是一。", f"This is {article} {word} thing.")]


def test_no_entry_stands_twice_in_a_sentence() -> None:
    assert expand_tiny("{verb}和{verb2}。 | {verb} and {verb2}.") == set()
    assert len(expand_tiny("{person}见{person2}。 | {person} saw {person2}.")) == 6


def test_a_union_gives_the_entries_of_its_classes() -> None:
    union = "[noun] = fruit + thing\n[patterns]\n"
    pairs = expand_phrasebook(TINY + union + "{noun}。 | the {noun}.").train
    assert ("雨伞。", "The umbrella.") in pairs
    assert ("苹果。", "The apple.") in pairs


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{foo}好。 | {foo} is well.", "unknown class 'foo'; classes are person, fruit, thing"),
        ("{fruit.er}好。 | {fruit} is well.", "no form 'er'"),
        ("你好。", "not a pair"),
        ("你好。 | one | two", "not a pair"),
        ("{fruit}好。 | all is well.", "slots on one side only: fruit"),
        ("好。 | all [is|are] well.", "no subject"),
        ("{fruit}好。 | {fruit} [is|are:thing] well.", "nothing for 'thing' to agree with"),
        ("{fruit}好。 | {fruit} [is] well.", "1 options"),
        ("{fruit}好。 | {fruit} [is well.", "a stray '['"),
        ("[fruit] zh | en", "class 'fruit' is defined twice"),
        ("[oops", "'[oops' is not a section header"),
    ],
)
def test_an_error_names_its_line(line: str, says: str) -> None:
    text = TINY + "[patterns]\n" + line
    number = len(text.splitlines())
    with pytest.raises(S2SError) as caught:
        expand_phrasebook(text)
    assert str(caught.value).startswith(f"phrasebook.txt:{number}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("苹果 | apple", "a line before the first section"),
        ("[fruit] zh | en\n苹果 | apple | apples", "3 cells under [fruit]; it has 2: zh | en"),
        ("[fruit] zh | en\n苹果 | apple\n苹果 | pear", "repeats an entry"),
        ("[person] zh | en | agree\n我 | I | 4", "agree is '4'"),
        ("[a] zh | en\n[b] = a\n苹果 | apple", "an entry under the union [b]"),
        ("[b] = a", "unknown class 'a'"),
    ],
)
def test_a_dictionary_error_names_its_line(lines: str, says: str) -> None:
    with pytest.raises(S2SError) as caught:
        expand_phrasebook(lines)
    assert str(caught.value).startswith(f"phrasebook.txt:{len(lines.splitlines())}: ")
    assert says in str(caught.value)


def test_one_sentence_with_two_translations_is_refused() -> None:
    with pytest.raises(S2SError, match="two translations"):
        expand_phrasebook("[patterns]\n你好。 | Hello.\n你好。 | Hi.")
    with pytest.raises(S2SError, match="two translations"):
        expand_phrasebook("[patterns]\n你好。 | Hello.\n您好。 | Hello.")


def test_the_package_ships_what_the_generator_writes(tmp_path: Path) -> None:
    write_tables(tmp_path)
    for name in ("train.tsv.gz", "valid.tsv.gz", "test.tsv.gz"):
        shipped, written = (TABLES / name).read_bytes(), (tmp_path / name).read_bytes()
        # Each zlib compresses in its own way, so that only what is inside must be the same.
        assert gzip.decompress(shipped) == gzip.decompress(written)
        assert shipped[:8] == b"\x1f\x8b\x08" + bytes(5)  # neither a name nor a time
    write_tables(tmp_path / "again")
    for path in tmp_path.glob("*.gz"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
