"""Sources of several directions: which languages they are of, and what is held out of them."""

from itertools import combinations
from pathlib import Path

import pytest
from corpora import load_training

from s2s_cli.config import Data
from s2s_cli.data.corpus import Corpus, join_by_direction, join_corpora
from s2s_cli.data.splits import load_test
from s2s_cli.errors import ConfigError
from s2s_cli.recipe import check_config

DIRECTIONS = ["de-en", "en-de", "de-fr", "fr-de", "en-fr", "fr-en"]
BOTH = {"src": "{src}.txt", "tgt": "{tgt}.txt"}


def make_data(folder: Path, **keys: object) -> Data:
    """Lines that are the same in each language, but for the language; line 7 twice in English."""
    for lang in ("de", "en", "fr"):
        lines = [f"{lang} {7 if lang == 'en' and i == 8 else i}" for i in range(300)]
        (folder / f"{lang}.txt").write_text("".join(f"{line}\n" for line in lines))
    rows = "".join(f"de {i}\ten {i}\tfr {i}\n" for i in range(5))
    (folder / "all.tsv").write_text(f"de\ten\tfr\n{rows}")
    tree = {"folder": str(folder), "directions": DIRECTIONS, "train": BOTH, **keys}
    return check_config({"data": {"valid": BOTH, "test": BOTH, **tree}}, "test").data


def all_languages(corpus: Corpus) -> set[str]:
    return {sentence.split()[0] for sentence in corpus.src + corpus.tgt}


def test_names_hold_the_languages_of_each_direction(tmp_path: Path) -> None:
    for source in (BOTH, {"file": "all.tsv", "src": "{src}", "tgt": "{tgt}"}):
        train, valid = load_training(make_data(tmp_path, train=source, valid=source))
        for corpora in (train, valid):
            assert [str(corpus.direction) for corpus in corpora] == DIRECTIONS
            for corpus in corpora:
                assert all_languages(corpus) == {corpus.src_lang, corpus.tgt_lang}
                assert corpus.src[0].startswith(corpus.src_lang)
                assert corpus.name.endswith(f"-{corpus.direction}")


def test_names_of_several_references_hold_languages_too(tmp_path: Path) -> None:
    test = {"src": "{src}.txt", "tgt": ["{tgt}.txt", "{src}.txt"]}
    for corpus in load_test(make_data(tmp_path, test=test)):
        assert corpus.references[0][0] == f"{corpus.tgt_lang} 0"
        assert corpus.references[1][0] == f"{corpus.src_lang} 0"


def test_a_source_may_say_its_direction(tmp_path: Path) -> None:
    sources = [
        {"src": "de.txt", "tgt": "en.txt", "direction": "de-en", "weight": 2},
        {"src": "{src}.txt", "tgt": "{tgt}.txt", "direction": "fr-en"},
        {"file": "all.tsv", "src": "de", "tgt": 3, "direction": "de-fr"},
    ]
    directions = ["de-en", "fr-en", "de-fr"]
    train, _ = load_training(make_data(tmp_path, train=sources, directions=directions))
    assert [str(corpus.direction) for corpus in train] == directions
    assert [all_languages(corpus) for corpus in train] == [{"de", "en"}, {"fr", "en"}, {"de", "fr"}]
    assert train[0].weight == 2


def test_placeholders_stand_for_the_only_languages_too(tmp_path: Path) -> None:
    keys = {"directions": [], "src_lang": "fr", "tgt_lang": "de"}
    train, _ = load_training(make_data(tmp_path, **keys))
    assert (train[0].src[0], train[0].tgt[0]) == ("fr 0", "de 0")
    assert train[0].name == f"{tmp_path.name}-fr"  # nothing to be told apart
    train, _ = load_training(make_data(tmp_path, directions=["fr-de"]))
    assert (train[0].src[0], train[0].tgt[0]) == ("fr 0", "de 0")


def test_the_phrasebook_can_be_turned_round(tmp_path: Path) -> None:
    sources = [{"phrasebook": "valid", "direction": name} for name in ("zh-en", "en-zh")]
    keys = {"directions": ["zh-en", "en-zh"], "train": sources, "valid": sources[0]}
    (there, back), _ = load_training(make_data(tmp_path, **keys))
    assert (there.src, there.tgt) == (back.tgt, back.src)
    assert there.origin.keys() != back.origin.keys()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train": {"src": "de.txt", "tgt": "en.txt"}}, r"data\.train: does not tell which"),
        ({"train": {"src": "{src}.txt", "tgt": "en.txt"}}, r"names \(\{tgt\} missing\)"),
        ({"valid": [BOTH, {"phrasebook": "valid"}]}, r"data\.valid\.1: does not tell which"),
        ({"train": {**BOTH, "direction": "it-en"}}, r"train\.direction: it-en is none of the rec"),
        ({"train": {**BOTH, "direction": "de-en"}}, "has no pairs of en-de, de-fr, fr-de, en-fr"),
        ({"train": {"phrasebook": "train", "direction": "de-en"}}, "phrasebook is Chinese and"),
        ({"directions": ["de-en", "de-en"]}, "names de-en twice"),
        ({"directions": ["de"]}, r"data\.directions"),
        ({"directions": ["zh-TW-en"]}, r"data\.directions"),
        ({"directions": [], "train": {**BOTH, "direction": "de-en"}}, r"directions \(zh-en\)"),
    ],
    ids=str,
)
def test_what_is_of_no_direction_is_refused(
    tmp_path: Path, keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_training(make_data(tmp_path, **keys))


def test_a_region_is_a_part_of_its_language(tmp_path: Path) -> None:
    data = make_data(tmp_path, directions=["zh_TW-en", "en-zh_TW"])
    assert [tuple(one) for one in data.all_directions] == [("zh_TW", "en"), ("en", "zh_TW")]


def test_no_sentence_is_held_out_of_one_direction_and_learnt_in_another(tmp_path: Path) -> None:
    data = make_data(tmp_path, valid=0.1, test=0.2)
    train, valid = load_training(data)
    sides = [train, valid, load_test(data)]
    for one, other in combinations(sides, 2):
        known = {sentence for corpus in one for sentence in corpus.src + corpus.tgt}
        assert not known & {sentence for corpus in other for sentence in corpus.src + corpus.tgt}
    # A line is on one side in all its languages, and so is what the doubled line connects.
    for corpora in sides:
        numbers = [{s.split()[1] for s in corpus.src + corpus.tgt} for corpus in corpora]
        assert all(found - {"7", "8"} == numbers[0] - {"7", "8"} for found in numbers)
        assert ("7" in numbers[0]) == any("8" in found for found in numbers)
        assert [str(corpus.direction) for corpus in corpora] == DIRECTIONS
    sizes = [sum(map(len, corpora)) / (6 * 300) for corpora in sides]
    assert sum(sizes) == 1
    assert 0.05 < sizes[1] < 0.16
    assert 0.12 < sizes[2] < 0.28
    assert load_training(data) == (train, valid)


def test_corpora_of_one_direction_are_joined_others_are_of_several_languages() -> None:
    one, two, three = (
        Corpus(name, [name], [name], 0, {}, src_lang="de", tgt_lang=tgt)
        for name, tgt in (("a", "en"), ("b", "fr"), ("c", "en"))
    )
    assert [corpus.src for corpus in join_by_direction([one, two, three])] == [["a", "c"], ["b"]]
    joined = join_corpora([one, two, three])
    assert (joined.src_lang, joined.tgt_lang) == ("de", "mul")
