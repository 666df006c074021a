import json
from pathlib import Path

import pytest
from toys import error_of, output_of, save_toy

from s2s_cli.config import Data
from s2s_cli.data.test_set import load_test_and_rest
from s2s_cli.sources import ParallelFiles

SHARES = ("data.valid=0.1", "data.test=0.2")


@pytest.fixture
def ask(tmp_path: Path) -> list[object]:
    """An evaluation of a toy model that was trained on a part of a file named by the recipe."""
    for name, letters in (("p.de", "stuvwxyz"), ("p.en", "abcdef")):
        lines = [" ".join(letters[n // k % len(letters)] for k in (1, 5, 25)) for n in range(200)]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    files = {"src": str(tmp_path / "p.de"), "tgt": str(tmp_path / "p.en")}
    data = Data(train=ParallelFiles(**files), valid=0.1, test=0.2)
    _, rest = load_test_and_rest(data)
    trained_on = {name: {f"p#{name}": digest} for name, (digest,) in rest.items()}
    toy = save_toy(tmp_path / "toy", trained_on=trained_on)
    recipe = tmp_path / "my.yaml"
    languages = {"src_lang": "de", "tgt_lang": "en"}
    recipe.write_text(json.dumps({"data": {**languages, "train": files}}))
    return ["eval", "--bleu", "-m", toy, "-c", recipe, "--report", tmp_path / "report"]


def with_keys(*keys: str) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def test_the_held_out_pairs_are_scored(ask: list[object]) -> None:
    assert "bleu" in json.loads(output_of(*ask, *with_keys(*SHARES)))


@pytest.mark.parametrize(
    "keys",
    [
        (*SHARES, "data.split_seed=2"),
        ("data.valid=0.1", "data.test=0.3"),
        ("data.valid=0.2", "data.test=0.1"),  # the same training pairs, but other validation pairs
        ("data.valid={phrasebook: valid, direction: zh-en}", "data.test=0.3"),
    ],
)
def test_pairs_that_were_trained_on_are_refused_as_a_test_set(
    ask: list[object], keys: tuple[str, ...]
) -> None:
    message = error_of(*ask, *with_keys(*keys))
    assert "was trained with another split of the training pairs" in message


def test_a_training_file_that_grew_has_no_held_out_test_set(
    ask: list[object], tmp_path: Path
) -> None:
    for name in ("p.de", "p.en"):
        with (tmp_path / name).open("a") as file:
            file.write("one more\n")
    assert "another split of the training pairs" in error_of(*ask, *with_keys(*SHARES))


def test_every_member_of_an_ensemble_must_have_the_same_split(
    ask: list[object], tmp_path: Path
) -> None:
    other = save_toy(tmp_path / "other", seed=2)
    assert f"{other} was trained with another" in error_of(*ask, "-m", other, *with_keys(*SHARES))
