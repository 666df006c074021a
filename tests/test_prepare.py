"""Preparation: datasets on disk equal a plain computation; stale and damaged ones are replaced."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from corpora import learn_subwords, load_training

from s2s_cli.checks.leakage import count_leaks
from s2s_cli.config import Config
from s2s_cli.data import words as words_module
from s2s_cli.data import workers as workers_module
from s2s_cli.data.dataset import Dataset, EncodedPair
from s2s_cli.data.dataset_writer import choose_dtype
from s2s_cli.data.fingerprints import fold_sentence
from s2s_cli.data.locations import locate_pairs
from s2s_cli.data.manifest import FORMAT, Manifest, read_manifest
from s2s_cli.errors import StoppedError
from s2s_cli.prepare import Prepared, Workers, prepare
from s2s_cli.recipe import check_config
from s2s_cli.run import Vocabularies
from s2s_cli.sources import Direction, ParallelFiles
from s2s_cli.text.subwords import SubwordPair
from s2s_cli.text.tokenizer import make_tokenizer, make_tokenizers
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary
from s2s_cli.training.training_data import weigh_pairs
from s2s_cli.vocabularies import describe_vocabularies, tags_of_sides

WORDS = {
    "de": ["der", "die", "Hund", "Katze", "geht", "läuft", "schnell", "heute", "nicht", "Straße"],
    "en": ["the", "a", "dog", "cat", "walks", "runs", "quickly", "today", "not", "street"],
    "fr": ["le", "la", "chien", "chat", "va", "court", "vite", "aujourd'hui", "pas", "rue,"],
}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks so small that small texts have several, and reach other processes."""
    monkeypatch.setattr(words_module, "CHUNK_PAIRS", 7)
    monkeypatch.setattr(workers_module, "LOCAL_CHUNKS", 1)


def make_texts(folder: Path) -> None:
    """Write the same sentences in three languages, some blank, empty or long: files and tables."""
    generator = np.random.default_rng(1)
    lines: dict[str, list[str]] = {lang: [] for lang in WORDS}
    for number in range(60):
        drawn = generator.integers(10, size=generator.integers(1, 12))
        for lang, words in WORDS.items():
            lines[lang].append(" ".join(words[i] for i in drawn) + f" {number // 2}")
    lines["en"][5], lines["de"][9], lines["fr"][2] = "", "  ", "\t"
    lines["de"][11] = "\x7f\x01"  # no token remains after Moses
    lines["de"][13] = "Hund " * 30
    for lang, sentences in lines.items():
        content = "".join(f"{sentence}\n" for sentence in sentences)
        (folder / f"x.{lang}").write_text(content, encoding="utf-8")
    rows = [f"{de}\t{en}\n" for de, en in zip(lines["de"], lines["en"], strict=True)][20:55]
    rows[3] = "nur\teins\n"
    (folder / "x.tsv").write_text("".join(rows).replace("\t\t", "\t"), encoding="utf-8")
    trees = [
        {"s": f"{de} !", "t": f"{en} !"} for de, en in zip(lines["de"], lines["en"], strict=True)
    ]
    (folder / "x.jsonl.gz").write_bytes(
        gzip.compress("".join(f"{json.dumps(tree)}\n" for tree in trees).encode())
    )


FILES = {"src": "x.de", "tgt": "x.en"}
TABLE = {"file": "x.tsv", "src": 1, "tgt": 2}
PACKED = {"file": "x.jsonl.gz", "src": "s", "tgt": "t", "weight": 0.5}
BPE = {"src_subword": "bpe", "tgt_subword": "bpe"}
THREE = {"directions": ["de-en", "en-de", "fr-en"], "train": {"src": "x.{src}", "tgt": "x.{tgt}"}}

RECIPES: dict[str, dict[str, dict[str, object]]] = {
    "files": {"data": {"train": FILES}},
    "table": {"data": {"train": TABLE}, "text": {"lowercase": True}},
    "weighted": {"data": {"train": [{**FILES, "weight": 2}, PACKED, TABLE]}},
    "held out": {"data": {"train": [FILES, PACKED], "valid": 0.1, "test": 0.2}},
    "directions": {"data": THREE},
    "subwords": {"data": {"train": [FILES, PACKED]}, "text": BPE},
    "one side": {
        "data": {"train": FILES},
        "text": {"tgt_tokenizer": "none", "tgt_subword": "unigram"},
    },
    "shared": {"data": THREE, "text": BPE, "vocab": {"shared": True}},
    "phrasebook": {
        "data": {"src_lang": "zh", "tgt_lang": "en", "train": {"phrasebook": "valid"}},
        "vocab": {"max_size": 500},
    },
}


def make_recipe(folder: Path, tree: dict[str, dict[str, object]]) -> Config:
    data = {"src_lang": "de", "tgt_lang": "en", "folder": str(folder), "max_length": 20}
    if "directions" in tree["data"]:
        data = {"folder": str(folder), "max_length": 20}
    tree = {**tree, "data": {**data, "valid": {"phrasebook": "valid"}, **tree["data"]}}
    if "directions" in tree["data"] and not isinstance(tree["data"]["valid"], float):
        tree["data"]["valid"] = tree["data"]["train"]
    tree["data"].setdefault("test", None)
    return check_config(
        {"vocab": {"max_size": 90, "min_freq": 1, **tree.pop("vocab", {})}, **tree}, "x"
    )


def build(config: Config, folder: Path, workers: int = 1) -> Prepared:
    """Do what `s2s vocab build` does."""
    return prepare(config, folder, Workers(workers))


def prepare_plainly(config: Config) -> tuple[Vocabularies, dict[str, list[EncodedPair]]]:
    """Prepare in memory: tokenise, segment and encode each sentence by itself."""
    splits = load_training(config.data)._asdict()
    words: dict[str, list[tuple[Direction, list[str], list[str]]]] = {}
    for name, texts in splits.items():
        words[name] = [
            (text.direction, src.tokenize(row[0]), tgt.tokenize(row[1]))
            for text in texts
            for src, tgt in [make_tokenizers(config.text, text.direction)]
            for row in text.rows
        ]
    kinds = config.text.src_subword, config.text.tgt_subword
    sides = [[one[side] for one in words["train"]] for side in (1, 2)]
    if config.vocab.shared:
        both = learn_subwords(kinds[0], [*sides[0], *sides[1]], config.vocab.max_size, 1.0, 2)
        subwords: SubwordPair = both, both
    else:
        src, tgt = (
            None if kind == "none" else learn_subwords(kind, side, config.vocab.max_size, 1.0)
            for kind, side in zip(kinds, sides, strict=True)
        )
        subwords = src, tgt
    cut = {
        name: [
            (one[0], *(m.segment(s) if m else s for m, s in zip(subwords, one[1:], strict=True)))
            for one in all_
        ]
        for name, all_ in words.items()
    }
    counts = [Counter(token for one in cut["train"] for token in one[side]) for side in (1, 2)]
    if config.vocab.shared:
        counts = [counts[0] + counts[1]] * 2
    tags = tags_of_sides(config)
    vocabularies = []
    for side_counts, model, side_tags in zip(counts, subwords, tags, strict=True):
        kept = Counter({t: side_counts[t] for t in model.pieces}) if model else side_counts
        least = 0 if model else config.vocab.min_freq
        vocabularies.append(Vocabulary.build(kept, config.vocab.max_size, least, side_tags))
    src_vocabulary, tgt_vocabulary = vocabularies
    longest = config.data.max_length
    encoded: dict[str, list[EncodedPair]] = {
        name: [
            (
                src_vocabulary.encode_tag(direction.tgt) + src_vocabulary.encode(src),
                tgt_vocabulary.encode(tgt),
            )
            for direction, src, tgt in pairs
            if 0 < len(src) <= longest and 0 < len(tgt) <= longest
        ]
        for name, pairs in cut.items()
    }
    card = describe_vocabularies(config, [])
    return Vocabularies(src_vocabulary, tgt_vocabulary, card, subwords), encoded


def pairs_of(dataset: Dataset) -> list[EncodedPair]:
    pairs = (dataset[index] for index in range(len(dataset)))
    return [(src.tolist(), tgt.tolist()) for src, tgt in pairs]


@pytest.mark.parametrize("name", ["files", "table", "weighted", "held out", "directions"])
def test_every_pair_is_located_in_the_text(tmp_path: Path, name: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES[name])
    prepared = build(config, tmp_path / "data")
    train, vocabularies = prepared.datasets["train"], prepared.vocabularies
    lines = locate_pairs(config.data, [train.number_in_text(index) for index in range(len(train))])
    assert len(lines) == len(train) > 20
    tokenizers = [
        make_tokenizer(config.text.tgt_tokenizer, lang, config.text.lowercase) for lang in WORDS
    ]
    # Sources are in order, and so are the lines.
    for index, line in enumerate(lines):
        where, _, sentences = line.partition(": ")
        src, tgt = sentences.split(" -> ")
        ids = [vocabularies.tgt.encode(tokenizer.tokenize(tgt)) for tokenizer in tokenizers]
        assert train[index][1].tolist() in ids, line
        if name == "files":
            file, _, number = where.rpartition(":")
            assert Path(file).read_text(encoding="utf-8").split("\n")[int(number) - 1] == src


@pytest.mark.parametrize("name", RECIPES)
def test_datasets_equal_a_plain_computation(tmp_path: Path, name: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES[name])
    prepared = build(config, tmp_path / "data")
    expected, encoded = prepare_plainly(config)
    assert prepared.vocabularies[:2] == expected[:2]
    assert prepared.vocabularies.subwords == expected.subwords
    texts = load_training(config.data)._asdict()
    for split in ("train", "valid"):
        dataset, counts = prepared.datasets[split], prepared.datasets[split].manifest.counts
        assert pairs_of(dataset) == encoded[split]
        assert dataset.lengths.tolist() == [[len(src), len(tgt)] for src, tgt in encoded[split]]
        assert counts.pairs == len(encoded[split])
        assert counts.src_tokens == sum(len(src) for src, _ in encoded[split])
        assert counts.tgt_tokens == sum(len(tgt) for _, tgt in encoded[split])
        assert counts.src_unknown == sum(src.count(UNK_ID) for src, _ in encoded[split])
        num_rows = sum(len(text.rows) for text in texts[split])
        assert counts.pairs + counts.too_long + counts.empty == num_rows
    rows = [row for text in texts["train"] for row in text.rows]
    fingerprints = prepared.datasets["train"].fingerprints
    assert count_leaks(rows, fingerprints) == (len(rows),) * 3
    assert len(fingerprints.sources) == len({fold_sentence(row[0]) for row in rows})
    valid = prepared.datasets["valid"]
    assert list(valid.all_rows()) == [row for text in texts["valid"] for row in text.rows]
    kept = [row for rows in valid.rows_by_direction().values() for row in rows]
    assert sorted(kept) == sorted(valid.rows())
    assert len(kept) == len(valid)
    again = prepare(config, tmp_path / "data", Workers(1), prepared.vocabularies)
    assert again.notes == []
    assert not again.is_new
    assert again.datasets["train"].manifest == prepared.datasets["train"].manifest


def test_rows_left_out_are_counted(tmp_path: Path) -> None:
    make_texts(tmp_path)
    counts = (
        build(make_recipe(tmp_path, RECIPES["files"]), tmp_path / "data")
        .datasets["train"]
        .manifest.counts
    )
    assert (counts.blank, counts.too_long, counts.empty) == (2, 1, 0)


def test_pairs_have_the_weight_of_their_source(tmp_path: Path) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["weighted"])
    train = build(config, tmp_path / "data").datasets["train"]
    weights = weigh_pairs(config, train)
    assert weights is not None
    numbers = [source.pairs for source in train.manifest.sources]
    assert weights.tolist() == [2.0] * numbers[0] + [0.5] * numbers[1] + [1.0] * numbers[2]
    plain = make_recipe(tmp_path, RECIPES["files"])
    assert weigh_pairs(plain, build(plain, tmp_path / "plain").datasets["train"]) is None


def test_a_weight_counts_for_each_direction_of_its_source(tmp_path: Path) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, {"data": THREE})
    one = ParallelFiles(src="x.de", tgt="x.en", direction="de-en", weight=3.0)
    data = config.data.model_copy(update={"train": (one, config.data.train)})
    config = config.model_copy(update={"data": data})
    train = build(config, tmp_path / "data").datasets["train"]
    weights = weigh_pairs(config, train)
    assert weights is not None
    numbers = [source.pairs for source in train.manifest.sources]
    assert len(numbers) == 4
    assert weights.tolist() == [3.0] * numbers[0] + [1.0] * sum(numbers[1:])


def test_an_unreadable_test_set_causes_a_warning(tmp_path: Path) -> None:
    make_texts(tmp_path)
    (tmp_path / "y.de").write_text("eins\n")
    (tmp_path / "y.en").write_text("one\ntwo\n")
    for test, note in (
        ({"src": "none", "tgt": "x.en"}, "none"),
        ({"src": "y.de", "tgt": "y.en"}, "2"),
    ):
        config = make_recipe(tmp_path, {"data": {"train": FILES, "test": test}})
        prepared = build(config, tmp_path / "data")
        assert prepared.datasets.keys() == {"train", "valid"}
        assert note in "".join(prepared.warnings)


def test_only_the_split_whose_text_changed_is_encoded_again(tmp_path: Path) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, {"data": {"train": FILES, "valid": TABLE}})
    known = build(config, tmp_path / "data").vocabularies
    before = (tmp_path / "data" / "train" / "src.ids").stat().st_mtime_ns
    path = tmp_path / "x.tsv"
    path.write_text(path.read_text().replace("dog", "cat"))
    prepared = prepare(config, tmp_path / "data", Workers(1), known)
    assert prepared.notes == [f"{tmp_path / 'data' / 'valid'}: {path} has changed; encoded again"]
    assert (tmp_path / "data" / "train" / "src.ids").stat().st_mtime_ns == before


def contents(folder: Path) -> dict[str, object]:
    """Read all files; the manifest without times."""
    found: dict[str, object] = {}
    for split in folder.iterdir():
        manifest = read_manifest(split)
        assert isinstance(manifest, Manifest)
        found[split.name] = manifest.model_copy(update={"files": {}})
        for path in split.iterdir():
            if path.suffix != ".json":
                found[f"{split.name}/{path.name}"] = path.read_bytes()
                assert manifest.files[path.name].size == path.stat().st_size
    return found


@pytest.mark.parametrize("name", ["subwords", "held out"])
def test_any_number_of_processes_writes_the_same_files(tmp_path: Path, name: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES[name])
    alone = build(config, tmp_path / "one", 1).vocabularies
    several = build(config, tmp_path / "three", 3).vocabularies
    assert alone == several
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_large_vocabularies_need_wider_ids() -> None:
    assert choose_dtype(10, 65_536) == "uint16"
    assert choose_dtype(65_537, 10) == "int32"


@pytest.fixture
def built(tmp_path: Path) -> tuple[Config, Path, Vocabularies]:
    """Prepare a corpus with held-out pairs."""
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["held out"])
    return config, tmp_path / "data", build(config, tmp_path / "data").vocabularies


def encode_again(config: Config, folder: Path, vocabularies: Vocabularies) -> str | None:
    """Prepare again; return why train was encoded again, if it was."""
    notes = prepare(config, folder, Workers(1), vocabularies).notes
    assert prepare(config, folder, Workers(1), vocabularies).notes == []
    head = f"{folder / 'train'}: "
    found = [
        note.removeprefix(head).removesuffix("; encoded again")
        for note in notes
        if note.startswith(head)
    ]
    return found[0] if found else None


def leaves(tree: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    entries: list[tuple[object, object]] = []
    if isinstance(tree, dict):
        entries = list(tree.items())
    elif isinstance(tree, list):
        entries = list(enumerate(tree))
    if not entries:
        yield path
    for key, value in entries:
        yield from leaves(value, (*path, key))


def test_a_manifest_changed_anywhere_is_not_trusted(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    path = folder / "train" / "manifest.json"
    original = path.read_bytes()
    places = list(leaves(json.loads(original)))
    assert len(places) > 40
    for place in places:
        tree = json.loads(original)
        *path_to_parent, last = place
        entry = tree
        for key in path_to_parent:
            entry = entry[key]
        value = entry[last]
        entry[last] = value + 1 if isinstance(value, int | float) else f"{value}x"
        path.write_text(json.dumps(tree))
        found = read_manifest(folder / "train")
        assert isinstance(found, str), place
    assert encode_again(config, folder, vocabularies) == "its manifest.json is damaged"
    for content in (b"", b"{}", b"[]", b"nonsense", original[:-20]):
        path.write_bytes(content)
        assert read_manifest(folder / "train") == "its manifest.json is damaged"
    path.unlink()
    assert encode_again(config, folder, vocabularies) == "it has no manifest.json"


def test_files_of_another_format_are_encoded_again(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    manifest = read_manifest(folder / "train")
    assert isinstance(manifest, Manifest)
    manifest.model_copy(update={"format": 1}).write(folder / "train")
    assert encode_again(config, folder, vocabularies) == f"its format is 1, not {FORMAT}"


@pytest.mark.parametrize("name", ["src.ids", "tgt.offsets", "pairs.hashes"])
def test_missing_and_changed_bytes_are_detected(
    built: tuple[Config, Path, Vocabularies], name: str
) -> None:
    config, folder, vocabularies = built
    path = folder / "train" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    size = f"{len(content) - 1:,} bytes, not {len(content):,}"
    assert encode_again(config, folder, vocabularies) == f"{name} has {size}"
    assert path.read_bytes() == content
    path.write_bytes(content[:10] + bytes([content[10] ^ 1]) + content[11:])
    assert encode_again(config, folder, vocabularies) == f"{name} is damaged (SHA-256)"
    assert path.read_bytes() == content
    path.unlink()
    assert encode_again(config, folder, vocabularies) == f"{name} is missing"


def test_a_copied_corpus_is_trusted_after_its_hashes_are_compared(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    for path in folder.glob("*/*"):
        os.utime(path, ns=(1, 1))
    for text in folder.parent.glob("x.*"):
        os.utime(text, ns=(2, 2))
    assert encode_again(config, folder, vocabularies) is None
    manifest = read_manifest(folder / "train")
    assert isinstance(manifest, Manifest)
    assert {facts.mtime_ns for facts in manifest.files.values()} == {1}
    assert {facts.mtime_ns for facts in manifest.texts.values()} == {2}


def test_the_text_may_move_but_not_change(built: tuple[Config, Path, Vocabularies]) -> None:
    config, folder, vocabularies = built
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    for text in folder.parent.glob("x.*"):
        text.rename(elsewhere / text.name)
    data = config.data.model_copy(update={"folder": str(elsewhere)})
    moved = config.model_copy(update={"data": data})
    assert encode_again(moved, folder, vocabularies) is None
    manifest = Dataset.open(folder / "train").manifest
    assert all(str(elsewhere) in name for name in manifest.origin)
    path = elsewhere / "x.en"
    path.write_text(path.read_text().replace("dog", "cat"))
    assert encode_again(moved, folder, vocabularies) == f"{path} has changed"


@pytest.mark.parametrize(
    ("section", "keys", "why"),
    [
        ("data", {"max_length": 10}, "made with other data.max_length 20 -> 10"),
        ("data", {"valid": 0.2}, "made with other data.valid 0.1 -> 0.2"),
        ("data", {"test": None}, "made with other data.test 0.2 -> None"),
        ("data", {"split_seed": 2}, "made with other data.split_seed 1 -> 2"),
        ("data", {"train": FILES}, "made with other data.train"),
        ("data", {"train": [FILES, {**PACKED, "src": "t"}]}, "made with other data.train"),
        ("data", {"src_lang": "nl"}, "made with other data.train"),
        ("text", {"lowercase": True}, "made with other text.lowercase False -> True"),
        ("text", {"src_tokenizer": "space"}, "made with other text.src_tokenizer moses -> space"),
        ("text", BPE, "made with other text.src_subword none -> bpe"),
    ],
)
def test_another_recipe_encodes_again(
    built: tuple[Config, Path, Vocabularies], section: str, keys: dict[str, object], why: str
) -> None:
    config, folder, vocabularies = built
    tree = config.model_dump(mode="json")
    tree[section] |= keys
    other = check_config(tree, "x")
    assert encode_again(other, folder, vocabularies) == why


def test_pairs_held_out_before_return_to_train(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    tree = config.model_dump(mode="json")
    tree["data"] |= {"valid": FILES, "test": None}
    without = check_config(tree, "x")
    assert encode_again(without, folder, vocabularies) == "made with other data.valid 0.1 -> None"
    train = Dataset.open(folder / "train")
    assert len(train) == len(prepare(without, folder.parent / "new", Workers(1)).datasets["train"])
    assert encode_again(config, folder, vocabularies) == "made with other data.valid None -> 0.1"


def test_settings_that_change_no_id_encode_nothing_again(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    tree = config.model_dump(mode="json")
    tree["data"]["train"][0]["weight"] = 3.0
    tree["training"]["seed"] = 9
    tree["text"]["subword_sampling"] = 0.0
    assert encode_again(check_config(tree, "x"), folder, vocabularies) is None


def test_other_vocabularies_encode_again(built: tuple[Config, Path, Vocabularies]) -> None:
    config, folder, _ = built
    vocab = config.vocab.model_copy(update={"max_size": 20})
    smaller = config.model_copy(update={"vocab": vocab})
    fewer = build(smaller, folder.parent / "other").vocabularies
    assert encode_again(config, folder, fewer) == "made with other vocabularies"


@pytest.mark.parametrize("stage", ["tokenising", "encoding"])
def test_a_stopped_preparation_leaves_nothing_behind(tmp_path: Path, stage: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["files"])
    before = sorted(tmp_path.rglob("*"))

    def report(reported: str, *_: object) -> None:
        if reported == stage:
            raise StoppedError("stopped", signal.SIGINT)

    with pytest.raises(StoppedError):
        prepare(config, tmp_path / "runs" / "a" / "data", Workers(1, report))
    assert sorted(tmp_path.rglob("*")) == before


KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from s2s_cli.data import words, workers
from s2s_cli.recipe import load_recipe
from s2s_cli.prepare import Workers, prepare

def report(stage, done, total):
    if stage == {stage!r} and done > 20:
        pids = [str(child.pid) for child in multiprocessing.active_children()]
        Path("pids").write_text(" ".join(pids))
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    words.CHUNK_PAIRS, workers.LOCAL_CHUNKS = 7, 1
    prepare(load_recipe("my.yaml").config, Path("data"), Workers(2, report))
"""


@pytest.mark.parametrize("stage", ["tokenising", "encoding"])
def test_leftovers_of_a_killed_preparation_are_ignored_and_removed(
    tmp_path: Path, stage: str
) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["files"])
    (tmp_path / "my.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    (tmp_path / "killed.py").write_text(KILLED.format(path=sys.path, stage=stage))
    done = subprocess.run([sys.executable, "killed.py"], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "data" / "train").exists()
    assert list((tmp_path / "data").glob(".tmp-*"))
    # Its worker processes end too.
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert pids
    while any(map(is_alive, pids)):  # pytest's timeout ends this loop if they do not
        time.sleep(0.05)
    vocabularies = build(config, tmp_path / "data").vocabularies
    assert not list((tmp_path / "data").glob(".*"))
    assert encode_again(config, tmp_path / "data", vocabularies) is None


def test_temporary_files_are_removed(tmp_path: Path) -> None:
    make_texts(tmp_path)
    build(make_recipe(tmp_path, RECIPES["files"]), tmp_path / "data")
    left = {path.name for path in (tmp_path / "data" / "train").iterdir()}
    assert "words" not in left
    assert "manifest.json" in left


def test_folders_of_other_machines_and_people_are_kept(tmp_path: Path) -> None:
    make_texts(tmp_path)
    data = tmp_path / "data"
    others = [data / ".tmp-train-elsewhere-99", data / ".old-train-mine"]
    for other in others:
        other.mkdir(parents=True)
    build(make_recipe(tmp_path, RECIPES["files"]), tmp_path / "data")
    assert all(other.is_dir() for other in others)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
