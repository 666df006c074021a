"""Sources and their directions."""

from pathlib import Path

import pytest
from corpora import load_training

from s2s_cli.config import Data
from s2s_cli.data.pairs import ParallelText
from s2s_cli.data.splits import open_sources
from s2s_cli.data.test_set import load_test
from s2s_cli.errors import ConfigError
from s2s_cli.recipe import check_config

DIRECTIONS = ["de-en", "en-de", "de-fr", "fr-de", "en-fr", "fr-en"]
BOTH = {"src": "{src}.txt", "tgt": "{tgt}.txt"}


def make_data(folder: Path, **keys: object) -> Data:
    """Write lines that differ only in the name of their language; English has line 7 twice."""
    for lang in ("de", "en", "fr"):
        lines = [f"{lang} {7 if lang == 'en' and i == 8 else i}" for i in range(300)]
        (folder / f"{lang}.txt").write_text("".join(f"{line}\n" for line in lines))
    rows = "".join(f"de {i}\ten {i}\tfr {i}\n" for i in range(5))
    (folder / "all.tsv").write_text(f"de\ten\tfr\n{rows}")
    tree = {"folder": str(folder), "directions": DIRECTIONS, "train": BOTH, **keys}
    return check_config({"data": {"valid": BOTH, "test": BOTH, **tree}}, "test").data


def all_languages(text: ParallelText) -> set[str]:
    return {sentence.split()[0] for row in text.rows for sentence in row}


def test_placeholders_in_names_become_the_languages_of_each_direction(tmp_path: Path) -> None:
    for source in (BOTH, {"file": "all.tsv", "src": "{src}", "tgt": "{tgt}"}):
        train, valid = load_training(make_data(tmp_path, train=source, valid=source))
        for corpora in (train, valid):
            assert [str(corpus.direction) for corpus in corpora] == DIRECTIONS
            for corpus in corpora:
                assert all_languages(corpus) == {*corpus.direction}
                assert corpus.rows[0][0].startswith(corpus.direction.src)
                assert corpus.name.endswith(f"-{corpus.direction}")


def test_placeholders_in_names_of_references_become_languages(tmp_path: Path) -> None:
    test = {"src": "{src}.txt", "tgt": ["{tgt}.txt", "{src}.txt"]}
    for corpus in load_test(make_data(tmp_path, test=test)):
        assert corpus.references[0][0] == f"{corpus.direction.tgt} 0"
        assert corpus.references[1][0] == f"{corpus.direction.src} 0"


def test_a_source_may_name_its_direction(tmp_path: Path) -> None:
    sources = [
        {"src": "de.txt", "tgt": "en.txt", "direction": "de-en", "weight": 2},
        {"src": "{src}.txt", "tgt": "{tgt}.txt", "direction": "fr-en"},
        {"file": "all.tsv", "src": "de", "tgt": 3, "direction": "de-fr"},
    ]
    directions = ["de-en", "fr-en", "de-fr"]
    data = make_data(tmp_path, train=sources, directions=directions)
    train, _ = load_training(data)
    assert [str(corpus.direction) for corpus in train] == directions
    assert [all_languages(corpus) for corpus in train] == [{"de", "en"}, {"fr", "en"}, {"de", "fr"}]
    assert [source.weight for source in open_sources(data.train, data, "train")] == [2, 1, 1]


def test_placeholders_work_with_a_single_direction(tmp_path: Path) -> None:
    keys = {"directions": [], "src_lang": "fr", "tgt_lang": "de"}
    train, _ = load_training(make_data(tmp_path, **keys))
    assert train[0].rows[0] == ("fr 0", "de 0")
    assert train[0].name == f"{tmp_path.name}-fr"  # a single direction is not part of the name
    train, _ = load_training(make_data(tmp_path, directions=["fr-de"]))
    assert train[0].rows[0] == ("fr 0", "de 0")


def test_the_phrasebook_can_be_reversed(tmp_path: Path) -> None:
    sources = [{"phrasebook": "valid", "direction": name} for name in ("zh-en", "en-zh")]
    keys = {"directions": ["zh-en", "en-zh"], "train": sources, "valid": sources[0]}
    (there, back), _ = load_training(make_data(tmp_path, **keys))
    assert there.rows == [row[::-1] for row in back.rows]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train": {"src": "de.txt", "tgt": "en.txt"}}, r"data\.train: has no direction, but"),
        ({"train": {"src": "{src}.txt", "tgt": "en.txt"}}, r"names \(\{tgt\} missing\)"),
        ({"valid": [BOTH, {"phrasebook": "valid"}]}, r"data\.valid\.1: has no direction"),
        ({"train": {**BOTH, "direction": "it-en"}}, r"train\.direction: it-en is not a dir"),
        ({"train": {**BOTH, "direction": "de-en"}}, "has no pairs of en-de, de-fr, fr-de, en-fr"),
        ({"train": {"phrasebook": "train", "direction": "de-en"}}, "phrasebook is Chinese and"),
        ({"directions": ["de-en", "de-en"]}, "names de-en twice"),
        ({"directions": ["de"]}, r"data\.directions"),
        ({"directions": ["zh-TW-en"]}, r"data\.directions"),
        ({"directions": [], "train": {**BOTH, "direction": "de-en"}}, r"of the recipe \(zh-en\)"),
    ],
    ids=str,
)
def test_sources_without_a_valid_direction_are_refused(
    tmp_path: Path, keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_training(make_data(tmp_path, **keys))


def test_a_region_belongs_to_its_language(tmp_path: Path) -> None:
    data = make_data(tmp_path, directions=["zh_TW-en", "en-zh_TW"])
    assert [tuple(one) for one in data.all_directions] == [("zh_TW", "en"), ("en", "zh_TW")]


@pytest.mark.parametrize("key", ["valid", "test"])
def test_no_share_is_held_out_of_several_directions(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: with several directions .*name files"):
        make_data(tmp_path, **{key: 0.1})
