import hashlib
from pathlib import Path

import pytest
from corpora import load_rows

from s2s_cli.config import Data
from s2s_cli.data.monolingual import open_monolingual, open_train_sources
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction, ParallelFiles

DE_EN = Direction("de", "en")


@pytest.fixture
def data(tmp_path: Path) -> Data:
    (tmp_path / "a.de").write_text("".join(f"satz {n}\n" for n in range(100)), "utf-8")
    (tmp_path / "a.en").write_text("".join(f"line {n}\n" for n in range(100)), "utf-8")
    return Data(
        src_lang="de",
        tgt_lang="en",
        folder=str(tmp_path),
        train=ParallelFiles(src="a.de", tgt="a.en"),
        valid=0.1,
        test=0.2,
    )


def test_held_out_pairs_are_no_training_sources(data: Data) -> None:
    source = open_train_sources(data, DE_EN)
    found = [*source.stream()]
    assert source.num_lines == len(found) == 70
    rows = load_rows(data)
    assert found == [row[0] for row in rows["train"]]
    assert {*found}.isdisjoint(row[0] for name in ("valid", "test") for row in rows[name])
    assert [*source.stream()] == found


def test_only_the_sources_of_one_direction_are_read(data: Data) -> None:
    both = data.model_copy(
        update={
            "directions": ("de-en", "en-de"),
            "train": ParallelFiles(src="a.{src}", tgt="a.{tgt}"),
            "valid": None,
            "test": None,
        }
    )
    assert next(open_train_sources(both, DE_EN).stream()) == "satz 0"
    assert next(open_train_sources(both, Direction("en", "de")).stream()) == "line 0"
    with pytest.raises(DataError, match="has no pairs of de-fr; name another direction"):
        open_train_sources(both, Direction("de", "fr"))


def test_a_monolingual_text_is_hashed_as_sha256sum_does(tmp_path: Path) -> None:
    content = "eins\r\n\nzwei\u2028drei\ncaf".encode() + b"\xe9\n" + b"x\n" * 60
    (tmp_path / "t").write_bytes(content)
    source = open_monolingual(tmp_path / "t")
    assert source.origin == {str(tmp_path / "t"): hashlib.sha256(content).hexdigest()}
    assert [*source.stream()][:4] == ["eins", "", "zwei\u2028drei", "caf\udce9"]
    assert source.num_lines == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty; give text"), ("你好\n再见\n".encode("gbk") * 30, "GB18030")],
)
def test_what_is_not_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_monolingual(tmp_path / "t")
