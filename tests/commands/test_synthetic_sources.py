from pathlib import Path

import pytest
import yaml

from s2s_cli.commands.synthetic_sources import format_sources
from s2s_cli.config import Data
from s2s_cli.data.synthetic import SyntheticCard
from s2s_cli.recipe import check_config

FORWARD = SyntheticCard(
    s2s_version="1",
    direction="zh-en",
    synthetic_side="tgt",
    models=[],
    texts={},
    decoding={},
    filters={},
)
BACK = FORWARD.model_copy(update={"direction": "en-zh", "synthetic_side": "src"})
TABLE = {"file": "/t/t.tsv", "src": 1, "tgt": 2, "weight": 1}


def sources_for(card: SyntheticCard, train: object, **keys: object) -> list[dict[str, object]]:
    data = {"folder": "/d", "src_lang": "zh", "tgt_lang": "en", "train": train, **keys}
    checked = check_config({"data": data}, "test").data
    lines = format_sources(Path("/t/t.tsv"), card, checked)
    found = yaml.safe_load("\n".join(lines))["train"]
    # What is printed is a valid recipe for the direction of the table.
    src, tgt = card.direction.split("-")
    languages = {} if keys else {"src_lang": src, "tgt_lang": tgt}
    Data.model_validate(data | languages | {"train": found})
    return list(found)


@pytest.mark.parametrize(
    ("source", "forward", "back"),
    [
        (
            {"src": "a.zh", "tgt": "a.en", "weight": 2.0},
            {"src": "/d/a.zh", "tgt": "/d/a.en", "weight": 2.0},
            {"src": "/d/a.en", "tgt": "/d/a.zh", "weight": 2.0},
        ),
        (
            {"src": "a.{src}", "tgt": "/b.{tgt}"},
            {"src": "/d/a.zh", "tgt": "/b.en"},
            {"src": "/b.en", "tgt": "/d/a.zh"},
        ),
        (
            {"file": "a.txt", "src": "chinese", "tgt": 2, "format": "tsv", "direction": "zh-en"},
            {
                **{"file": "/d/a.txt", "src": "chinese", "tgt": 2},
                **{"format": "tsv", "direction": "zh-en"},
            },
            {
                **{"file": "/d/a.txt", "src": 2, "tgt": "chinese"},
                **{"format": "tsv", "direction": "en-zh"},
            },
        ),
        (
            {"phrasebook": "train"},
            {"phrasebook": "train"},
            {"phrasebook": "train", "direction": "en-zh"},
        ),
    ],
    ids=str,
)
def test_the_real_text_has_the_direction_of_the_table(
    source: dict[str, object], forward: dict[str, object], back: dict[str, object]
) -> None:
    assert sources_for(FORWARD, source) == [forward, TABLE]
    assert sources_for(BACK, [source]) == [back, TABLE]


def test_with_several_directions_the_table_names_its_own() -> None:
    source = {"src": "a.{src}", "tgt": "a.{tgt}"}
    expected = [
        {"src": "/d/a.{src}", "tgt": "/d/a.{tgt}"},
        {**TABLE, "direction": "en-zh"},
    ]
    assert sources_for(BACK, source, directions=["zh-en", "en-zh"]) == expected


def test_without_a_run_the_real_text_is_left_open() -> None:
    lines = format_sources(Path("/t/t.tsv"), FORWARD, None)
    assert yaml.safe_load("\n".join(lines))["train"] == [{"src": "FILE", "tgt": "FILE"}, TABLE]
