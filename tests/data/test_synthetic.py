from pathlib import Path

import pytest
from corpora import read_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.data.lines import hash_file
from s2s_cli.data.manifest import FileStamp
from s2s_cli.data.synthetic import (
    Chunk,
    ChunkFolder,
    SyntheticCard,
    check_table_name,
    find_cards,
    format_row,
    is_up_to_date,
    locate_card,
    read_card,
)
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import TableFile

CARD = SyntheticCard(
    s2s_version="1",
    direction="de-en",
    synthetic_side="tgt",
    models=[],
    texts={"a.de": "00"},
    decoding={"beam_size": 5},
    filters={"max_ratio": 3.0},
)


def read_rows(path: Path) -> list[tuple[str, ...]]:
    return read_table(TableFile(file=path.name, src=1, tgt=2), path).rows


SIDES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda side: bool(side.strip("\ufeff").strip())
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=3))
def test_the_reader_of_tables_finds_the_text_that_was_written(
    tmp_path: Path, pairs: list[tuple[str, str]]
) -> None:
    # The first row shows that this is not a file of another kind.
    written = [("a plain", "sentence"), *pairs]
    path = tmp_path / "t.tsv"
    path.write_text("".join(format_row(*pair) for pair in written), "utf-8", newline="\n")
    breaks = str.maketrans("\t\r\n", "   ")
    expected = [
        (src.lstrip("\ufeff").translate(breaks), tgt.translate(breaks)) for src, tgt in written
    ]
    assert read_rows(path) == expected


@pytest.mark.parametrize(
    ("src", "tgt"),
    [
        ('"a', 'b" ""'),
        ("#x, y", "=1+1"),
        ("a\u2028b\x0b", "\x85c\x0c"),
        ("\\t\\", "'\\n"),
        ("1", "2"),
    ],
)
def test_special_characters_go_through_unchanged(tmp_path: Path, src: str, tgt: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(format_row(src, tgt), "utf-8", newline="\n")
    assert read_rows(path) == [(src, tgt)]


@pytest.mark.parametrize("name", ["t.csv", "t", "t.gz", "t.tsv.zip", "folder.tsv"])
def test_a_name_that_is_not_that_of_a_table_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(ConfigError, match=r"name a file \*.tsv or \*.tsv.gz"):
        check_table_name(tmp_path / name)
    check_table_name(tmp_path / "t.tsv")
    check_table_name(tmp_path / "t.TSV.gz")


def make(table: Path, card: SyntheticCard = CARD) -> None:
    chunks = ChunkFolder(table)
    chunks.open(card)
    chunks.write(1, Chunk(["c\td\n"], {"pairs": 1, "blank": 2}))
    chunks.write(0, Chunk(["a\tb\n"], {"pairs": 1, "copy": 1}))
    chunks.finish(card, chunks.sum_counts(), "s2s augment")


def test_chunks_become_a_table_with_a_card(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv.gz"
    make(table)
    assert {path.name for path in tmp_path.iterdir()} == {"t.tsv.gz", "t.json"}
    assert read_rows(table) == [("a", "b"), ("c", "d")]
    card = read_card(table)
    assert card is not None
    assert card.counts == {"pairs": 2, "copy": 1, "blank": 2}
    assert card.sha256 == hash_file(table)
    assert is_up_to_date(table, CARD)
    assert not is_up_to_date(table, CARD.model_copy(update={"texts": {"a.de": "11"}}))
    table.unlink()
    assert not is_up_to_date(table, CARD)


def test_chunks_of_other_settings_are_removed(tmp_path: Path) -> None:
    chunks = ChunkFolder(tmp_path / "t.tsv")
    assert chunks.open(CARD) is None
    chunks.write(0, Chunk([], {}))
    assert chunks.open(CARD) is None
    assert chunks.num_chunks == 1
    other = CARD.model_copy(update={"decoding": {"beam_size": 1}})
    assert chunks.open(other) == "decoding.beam_size 5 -> 1"
    assert chunks.num_chunks == 0
    chunks.write(0, Chunk([], {}))
    (chunks.path / "settings.json").write_text("{", "utf-8")
    assert chunks.open(other) == "its settings cannot be read"
    assert chunks.num_chunks == 0


def test_a_damaged_chunk_is_refused(tmp_path: Path) -> None:
    chunks = ChunkFolder(tmp_path / "t.tsv")
    chunks.open(CARD)
    chunks.write(0, Chunk([], {}))
    (chunks.path / "chunk-00000000").write_bytes(b'{"pairs":')
    with pytest.raises(DataError, match="chunk-00000000: damaged; delete "):
        chunks.sum_counts()


def test_cards_are_found_by_the_hash_of_their_table(tmp_path: Path) -> None:
    table, other, plain = (tmp_path / name for name in ("t.tsv.gz", "u.tsv", "v.tsv"))
    make(table)
    make(other)
    other.write_text("x\ty\n", "utf-8")
    plain.write_text("x\ty\n", "utf-8")
    locate_card(plain).write_text("{}", "utf-8")  # somebody else's
    texts = {
        str(path): FileStamp.take(path, hash_file(path))
        for path in (table, other, plain, locate_card(table))
    }
    cards, stale = find_cards(texts)
    assert [*cards] == [str(table)]
    assert cards[str(table)].direction == "de-en"
    assert stale == [tmp_path / "u.json"]
