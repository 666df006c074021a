from pathlib import Path

import pytest

from s2s_cli.data.dictionary import read_dictionary
from s2s_cli.errors import DataError


def test_a_dictionary_maps_words_to_words(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes("\ufeffHaus\thouse\r\nNew-York \t New York\n".encode())
    assert read_dictionary(tmp_path / "d") == {"Haus": "house", "New-York": "New York"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Baum tree", "d:2: expected `source TAB target`, found 'Baum tree'"),
        ("Baum\t", "d:2: expected `source TAB target`"),
        ("\ttree", "d:2: expected `source TAB target`"),
        ("", "d:2: expected `source TAB target`"),
        ("Baum\ttree\tarbre", "d:2: expected `source TAB target`"),
        ("New York\tNew York", "d:2: 'New York' is more than one word"),
        ("Haus\thome", "d:2: 'Haus' is already in the dictionary"),
    ],
)
def test_the_error_names_the_malformed_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "d").write_text(f"Haus\thouse\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_dictionary(tmp_path / "d")
    assert message in str(caught.value)


def test_sources_are_normalised_before_duplicates_are_detected(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("Haus\tHouse\nBaum\tTree\nHAUS\tHome\n")
    assert len(read_dictionary(tmp_path / "d")) == 3
    with pytest.raises(
        DataError, match=r"d:3: 'haus' .as the model reads 'HAUS'. is already in the dictionary"
    ):
        read_dictionary(tmp_path / "d", str.lower)
    (tmp_path / "d").write_text("Haus\tHouse\n")
    assert read_dictionary(tmp_path / "d", str.lower) == {"haus": "House"}
