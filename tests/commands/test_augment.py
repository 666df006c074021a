import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from shell import s2s as run_s2s
from shell import tiny_train
from toys import error_of, output_of, s2s, save_toy

from s2s_cli.data.synthetic import ChunkFolder, locate_card, read_card
from s2s_cli.recipe import load_recipe
from s2s_cli.run import RunFolder
from s2s_cli.storage.checksummed import read_saved_at, read_sha256

LINES = ["s t u", "", "x unheard w", "v", "s s s s", "v", "z y x w v", "t"]
TEXT = "".join(f"{line}\n" for line in LINES)
SAMPLE = ("--sample", "--set", "decoding.max_length_factor=50")
"""Translations of a model with random weights are long: searches reach the length limit."""

ALL = (*SAMPLE, "--max-ratio", 1000)
"""Filters that pass almost everything."""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return save_toy(tmp_path / "toy")


def translate(*options: object, text: str = TEXT) -> list[dict[str, Any]]:
    """What `s2s translate` says of each different line that is not blank."""
    found = output_of("translate", *options, "--json", stdin=text).splitlines()
    by_source = {line["source"]: line for line in map(json.loads, found) if line["source"].strip()}
    return [*by_source.values()]


def augment(table: Path, *options: object, text: str = TEXT) -> list[list[str]]:
    """The rows that `s2s augment` writes."""
    assert output_of("augment", "-o", table, "--text", "-", *options, stdin=text) == f"{table}\n"
    return read(table)


def read(table: Path) -> list[list[str]]:
    content = table.read_bytes()
    unpacked = gzip.decompress(content) if table.suffix == ".gz" else content
    return [row.split("\t") for row in unpacked.decode().split("\n")[:-1]]


def card_of(table: Path) -> dict[str, Any]:
    return json.loads(table.with_name("t.json").read_bytes())


def test_every_text_is_paired_with_its_translation(toy: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.tsv.gz"
    expected = [
        [line["source"], line["translation"]]
        for line in translate("-m", toy, *SAMPLE)
        if line["translation"]
    ]
    assert len(expected) >= 4
    assert augment(table, "-m", toy, *ALL) == expected


def test_translations_are_searched_for_unless_sampling_is_asked_for(tmp_path: Path) -> None:
    toy = save_toy(tmp_path / "toy", seed=10)
    found = {line["source"]: line["translation"] for line in translate("-m", toy)}
    rows = augment(tmp_path / "t.tsv", "-m", toy)
    # The other translations are blank, or loops that the length limit cuts.
    assert rows == [[src, found[src]] for src in ("s t u", "s s s s", "t")]
    assert card_of(tmp_path / "t.tsv")["decoding"]["search"] == "beam"


def test_minimum_bayes_risk_decoding_makes_pairs_as_well(toy: Path, tmp_path: Path) -> None:
    mbr = [f"decoding.{key}" for key in ("search=mbr", "num_samples=8", "max_length_factor=50")]
    sets = [word for key in mbr for word in ("--set", key)]
    expected = [
        [line["source"], line["translation"]]
        for line in translate("-m", toy, *sets)
        if line["translation"]
    ]
    rest = ("-m", toy, "--max-ratio", 1000)
    done = s2s("augment", "-o", tmp_path / "t.tsv", "--text", "-", *rest, *sets, stdin=TEXT)
    assert done.stderr.count("minimum Bayes risk decoding: of 8 samples") == 1
    assert read(tmp_path / "t.tsv") == expected
    assert card_of(tmp_path / "t.tsv")["decoding"]["search"] == "mbr"


def test_back_translations_become_the_source_side(toy: Path, tmp_path: Path) -> None:
    forward = augment(tmp_path / "f" / "t.tsv", "-m", toy, *ALL)
    back = augment(tmp_path / "b" / "t.tsv", "-m", toy, *ALL, "--back")
    assert forward
    assert back == [[tgt, src] for src, tgt in forward]
    cards = [card_of(tmp_path / name / "t.tsv") for name in "fb"]
    assert [card["direction"] for card in cards] == ["de-en", "en-de"]
    assert [card["synthetic_side"] for card in cards] == ["tgt", "src"]


def test_an_ensemble_writes_what_it_translates(toy: Path, tmp_path: Path) -> None:
    other = save_toy(tmp_path / "other", seed=2, cell="lstm")
    models = ("-m", toy, "-m", other)
    alone = augment(tmp_path / "t.tsv", "-m", toy, *ALL)
    both = augment(tmp_path / "t.tsv", *models, *ALL)
    assert both
    assert both != alone
    known = {line["source"]: line["translation"] for line in translate(*models, *SAMPLE)}
    assert all(known[src] == tgt for src, tgt in both)
    assert card_of(tmp_path / "t.tsv")["models"] == [
        {
            "path": str(folder),
            "saved_at": read_saved_at(folder),
            "weights_sha256": read_sha256(folder, "model.safetensors"),
        }
        for folder in (toy, other)
    ]


def test_samples_depend_on_the_seed(toy: Path, tmp_path: Path) -> None:
    ask = ("-m", toy, *ALL, "--seed")
    first = augment(tmp_path / "t.tsv", *ask, 3)
    assert augment(tmp_path / "u.tsv", *ask, 3, "--batch-size", 1) == first
    assert augment(tmp_path / "v.tsv", *ask, 4) != first


def test_several_translations_of_a_text_are_several_pairs(toy: Path, tmp_path: Path) -> None:
    n_best = ("--set", "decoding.n_best=3")
    rows = augment(tmp_path / "t.tsv", "-m", toy, *ALL, *n_best)
    (first,) = translate("-m", toy, *SAMPLE, *n_best, text="v\n")
    found = [first["translation"], *(other["translation"] for other in first["alternatives"])]
    mine = [tgt for src, tgt in rows if src == "v"]
    assert len(mine) >= 2
    assert mine == [text for text in dict.fromkeys(found) if text in mine]


def test_filters_leave_out_what_translate_says_is_bad(toy: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    ask = ("-m", toy, *SAMPLE)
    kept = augment(table, *ask, "--max-ratio", 2, "--min-score", -2)
    expected, found = [], translate(*ask)
    for line in found:
        src, tgt = len(line["source_tokens"]), len(line["tokens"]) + 1  # end marks included
        is_even = max(src, tgt) <= 2 * min(src, tgt)
        if line["translation"] and is_even and line["log_prob"] / tgt >= -2:
            expected.append([line["source"], line["translation"]])
    assert 0 < len(expected) < 6
    assert kept == expected
    counts = card_of(table)["counts"]
    assert (counts["lines"], counts["pairs"]) == (8, len(kept))
    num_blank = sum(not line["translation"] for line in found)
    assert (counts["blank"], counts["repeated"]) == (1 + num_blank, 1)
    assert sum(counts.values()) == 2 * counts["lines"]  # each line is a pair or has one fault
    assert card_of(table)["filters"] == {"max_ratio": 2.0, "min_score": -2.0}


def test_the_counts_are_reported_once(toy: Path, tmp_path: Path) -> None:
    cut = ("--set", "decoding.max_source_length=3")
    ask = ("augment", "-m", toy, "-o", tmp_path / "t.tsv", "--text", "-", *ALL, *cut)
    lines = s2s(*ask, stdin=TEXT).stderr.splitlines()
    (report,) = [line for line in lines if line.startswith("8 lines, ")]
    num_blank = 1 + sum(not line["translation"] for line in translate("-m", toy, *SAMPLE, *cut))
    # Two sources have more than three tokens.
    assert f"{num_blank} with a blank side, 1 repeated, 2 cut at a length limit" in report


def test_the_card_says_what_the_table_was_made_of(toy: Path, tmp_path: Path) -> None:
    table, text, words = (tmp_path / name for name in ("t.tsv.gz", "my.de", "d.tsv"))
    text.write_text(TEXT, "utf-8")
    words.write_text("unheard\tx\n", "utf-8")
    ask = ("-m", toy, *ALL, "--seed", 2, "--set", f"decoding.dictionary={words}")
    output_of("augment", "-o", table, "--text", text, *ask)
    card = card_of(table)
    assert card["texts"] == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (text, words)
    }
    assert card["decoding"]["seed"] == 2
    assert card["sha256"] == hashlib.sha256(gzip.decompress(table.read_bytes())).hexdigest()
    assert not [path.name for path in tmp_path.iterdir() if ".part" in path.name]


def test_a_complete_table_is_kept_until_something_changes(toy: Path, tmp_path: Path) -> None:
    table, text = tmp_path / "t.tsv", tmp_path / "my.de"
    text.write_text(TEXT, "utf-8")
    ask = ("augment", "-m", toy, "-o", table, "--text", text, *ALL)
    first = s2s(*ask)
    content, time = table.read_bytes(), table.stat().st_mtime_ns
    again = s2s(*ask)
    assert "already made of the same text, models and settings" in again.stderr
    assert again.stdout == first.stdout
    assert table.stat().st_mtime_ns == time
    table.write_bytes(content[:-3])
    assert s2s(*ask).exception is None
    assert table.read_bytes() == content
    text.write_text("t\n", "utf-8")
    assert s2s(*ask).exception is None
    assert table.read_bytes() != content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["-o", "t.csv"],
            "ConfigError: --output t.csv: cannot be a table of synthetic pairs; name",
        ),
        (["-o", "-"], "ConfigError: --output -: cannot be a table"),
        (["-o", "t.tsv"], "is not in a run folder, so its training text is unknown; name a text"),
        (["-o", "t.tsv", "--text", "none"], "DataError: none: no such file"),
        (["-o", "my.tsv", "--text", "my.tsv"], "--output my.tsv: the same file is read by --text"),
        (
            ["-o", "my.tsv", "--text", "my.json"],
            "the card of --output my.json: the same file is read",
        ),
        (["-o", "t.tsv", "--text", "my.tsv", "--max-ratio", "0"], "--max-ratio 0.0: "),
        (["-o", "t.tsv", "--text", "my.tsv", "--min-score", "nan"], "--min-score nan: "),
        (["-o", "t.tsv", "--text", "empty"], "empty: empty; give text"),
        (["-o", "t.tsv", "--text", "my.tsv", "--seed", "2"], "--seed: has no effect"),
        (["-o", "t.tsv", "--text", "my.tsv", "--run", "r"], "--run: has no effect with --model"),
        (["-o", "t.tsv", "--text", "my.tsv", "--to", "fr"], "--to fr: "),
        (["-o", "t.tsv", "--text", "my.tsv", "--min-score", "9"], "all pairs are left out: "),
        (["-o", "other.tsv", "--text", "my.tsv"], "other.json: would be replaced by the card"),
    ],
    ids=str,
)
def test_impossible_options_give_one_line(
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("my.tsv", TEXT), ("my.json", TEXT), ("empty", ""), ("other.json", "{}")):
        Path(name).write_text(content, "utf-8")
    found = error_of("augment", "-m", toy, *options)
    assert message in found
    assert "\n" not in found
    assert not Path("t.tsv").exists()
    assert Path("other.json").read_text("utf-8") == "{}"


LONG = ("--set", "decoding.min_length_factor=1")
"""A model that was hardly trained writes blank translations."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `r`, a tenth of whose training pairs is held out."""
    folder = tmp_path_factory.mktemp("trained")
    words = {"猫": "cat", "狗": "dog", "鱼": "fish", "鸟": "bird"}
    names = [a + b + c for a in words for b in words for c in words]
    (folder / "my.zh").write_text("".join(f"{name}\n" for name in names), "utf-8")
    english = (" ".join(words[letter] for letter in name) for name in names)
    (folder / "my.en").write_text("".join(f"{line}\n" for line in english), "utf-8")
    recipe = "data: {src_lang: zh, tgt_lang: en, train: {src: my.zh, tgt: my.en}, valid: 0.1}\n"
    (folder / "mine.yaml").write_text(recipe, "utf-8")
    sets = tiny_train()[tiny_train().index("--set") :]
    run_s2s("train", "-c", "mine.yaml", *sets, "--epochs", 1, "--run", "r", cwd=folder)
    return folder


def test_without_a_text_the_training_sources_are_translated(trained: Path) -> None:
    run_s2s("augment", "--run", "r", "-o", "all/t.tsv", *ALL, *LONG, cwd=trained)
    card = card_of(trained / "all" / "t.tsv")
    assert card["counts"]["lines"] == 57  # 64 without the tenth that is held out, rounded up
    model = json.loads((trained / "r" / "model" / "config.json").read_bytes())
    assert [*card["texts"].values()] == [*model["trained_on"]["train"].values()]
    valid = (trained / "r" / "data" / "valid" / "text.jsonl").read_text("utf-8").splitlines()
    held_out = {json.loads(line)[0] for line in valid}
    assert len(held_out) == 7
    assert held_out.isdisjoint(row[0] for row in read(trained / "all" / "t.tsv"))


def test_a_run_trains_on_the_lines_that_are_printed_and_records_the_card(trained: Path) -> None:
    ask = ("augment", "--run", "r", "-o", "made/t.tsv.gz", *ALL, *LONG)
    stderr = run_s2s(*ask, cwd=trained).stderr
    assert "data.valid: is a share of data.train" in stderr
    lines = [line for line in stderr.split("\n") if line.startswith("  ")]
    train = yaml.safe_load("\n".join(lines))["train"]
    table = trained / "made" / "t.tsv.gz"
    assert train == [
        {"src": str(trained / "my.zh"), "tgt": str(trained / "my.en")},
        {"file": str(table), "src": 1, "tgt": 2, "weight": 1},
    ]
    recipe = yaml.safe_load((trained / "r" / "config.yaml").read_text("utf-8"))
    recipe["data"] |= {"train": train, "valid": {"src": "my.zh", "tgt": "my.en"}}
    (trained / "both.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    run_s2s("train", "-c", "both.yaml", "--run", "both", "--epochs", 1, cwd=trained)
    facts = json.loads((trained / "both" / "run.json").read_bytes())
    assert facts["synthetic"] == {str(table): card_of(table)}
    assert "synthetic" not in json.loads((trained / "r" / "run.json").read_bytes())
    # A card of another table is not recorded.
    card = trained / "made" / "t.json"
    card.write_text(card.read_text("utf-8").replace(card_of(table)["sha256"], "0" * 64), "utf-8")
    done = run_s2s("train", "-c", "both.yaml", "--run", "more", "--epochs", 1, cwd=trained)
    assert f"{card}: describes another version of its table" in done.stderr
    assert "synthetic" not in json.loads((trained / "more" / "run.json").read_bytes())


def test_training_text_that_has_changed_is_refused(trained: Path, tmp_path: Path) -> None:
    for name in ("my.zh", "my.en"):
        lines = (trained / name).read_text("utf-8").splitlines()
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines[1:]), "utf-8")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "model").symlink_to(trained / "r" / "model")
    config = load_recipe(str(RunFolder(trained / "r").config_path)).config
    tree = config.model_dump(mode="json")
    tree["data"]["folder"] = str(tmp_path)
    (tmp_path / "r" / "config.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    found = error_of("augment", "--run", tmp_path / "r", "-o", tmp_path / "t.tsv")
    assert "its training text is not what" in found
    assert {path.name for path in tmp_path.iterdir()} == {"my.zh", "my.en", "r"}


def test_a_table_that_was_not_made_here_is_never_replaced(toy: Path, tmp_path: Path) -> None:
    table = tmp_path / "train.tsv"
    table.write_text("real\ttext\n")
    assert "exists and has no card, so it is not a synthetic table" in error_of(
        "augment", "-m", toy, "-o", table, "--text", "-", *ALL, stdin=TEXT
    )
    assert table.read_text() == "real\ttext\n"


def test_a_command_killed_between_table_and_card_continues(toy: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    rows = augment(table, "-m", toy, *ALL)
    card = read_card(table)
    assert card is not None
    locate_card(table).unlink()
    chunks = ChunkFolder(table)
    chunks.path.mkdir()
    chunks.open(card)
    assert augment(table, "-m", toy, *ALL) == rows
    assert read_card(table) is not None
