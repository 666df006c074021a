"""Languages in the names of files."""

import pytest

from s2s_cli.checks.languages import language_of_name, parse_code


@pytest.mark.parametrize(
    ("name", "lang"),
    [
        ("train.de", "de"),
        ("train.de.gz", "de"),
        ("train.de.txt", "de"),
        ("train.tok.fr.txt.gz", "fr"),
        ("x.de-DE.txt", "de-DE"),
        ("x.zh_CN", "zh_CN"),
        ("x.pt-br", "pt-br"),
        ("flores.zho_Hans", "zho_Hans"),
        ("x.sr-Latn", "sr-Latn"),
        ("train.lzh", "lzh"),
        ("train.EN", "en"),
        ("europarl.de-en.de", "de"),
        ("ja.txt", "ja"),
    ],
)
def test_the_last_suffix_names_the_language(name: str, lang: str) -> None:
    assert language_of_name(name) == lang


@pytest.mark.parametrize(
    "name",
    [
        *("train.src", "train.tgt", "test.ref0", "kdconv.q", "train.txt", "train.txt.gz", "train"),
        *("data.tsv", "data.csv", "x.py", "x.de.bak", "europarl.de-en", "x.12", "x.", "", ".gz"),
    ],
)
def test_other_suffixes_name_no_language(name: str) -> None:
    assert language_of_name(name) is None


def test_a_column_may_be_named_by_a_code() -> None:
    assert parse_code("fr") == "fr"
    assert parse_code("zh-TW") == "zh-TW"
    assert parse_code("english") is None
    assert parse_code("qq") is None
