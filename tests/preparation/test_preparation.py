"""Training pairs on disk, against the same pairs worked out in memory; stale and damaged ones."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from corpora import load_training

from s2s_cli.checks.leakage import count_leaks
from s2s_cli.config import Config
from s2s_cli.data import pool, token_file
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.encoded_corpus import StoredPairs, choose_dtype
from s2s_cli.data.fingerprints import fold_sentence
from s2s_cli.data.manifest import FORMAT, Manifest, read_manifest
from s2s_cli.data.splits import open_training
from s2s_cli.data.tokenized import TokenizedCorpus, count_tokens, encode_corpus, segment_corpus
from s2s_cli.data.whereabouts import locate_pairs
from s2s_cli.errors import DataError, StoppedError
from s2s_cli.preparation.facts import weigh_pairs
from s2s_cli.preparation.learning import learn_vocabularies
from s2s_cli.preparation.preparation import Preparation
from s2s_cli.recipe import check_config
from s2s_cli.run import Vocabularies
from s2s_cli.text.subwords import SubwordPair, train_subwords
from s2s_cli.text.tokenizer import make_tokenizer
from s2s_cli.text.vocabulary import UNK_ID
from s2s_cli.vocabularies import build_vocabularies, tokenize_corpora

WORDS = {
    "de": ["der", "die", "Hund", "Katze", "geht", "läuft", "schnell", "heute", "nicht", "Straße"],
    "en": ["the", "a", "dog", "cat", "walks", "runs", "quickly", "today", "not", "street"],
    "fr": ["le", "la", "chien", "chat", "va", "court", "vite", "aujourd'hui", "pas", "rue,"],
}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small texts have several, and go to other processes where there may be any."""
    monkeypatch.setattr(token_file, "CHUNK_PAIRS", 7)
    monkeypatch.setattr(pool, "ALONE_CHUNKS", 1)


def make_texts(folder: Path) -> None:
    """The same sentences in three languages, some blank, empty or long; as files and tables."""
    generator = np.random.default_rng(1)
    lines: dict[str, list[str]] = {lang: [] for lang in WORDS}
    for number in range(60):
        drawn = generator.integers(10, size=generator.integers(1, 12))
        for lang, words in WORDS.items():
            lines[lang].append(" ".join(words[i] for i in drawn) + f" {number // 2}")
    lines["en"][5], lines["de"][9], lines["fr"][2] = "", "  ", "\t"
    lines["de"][11] = "\x7f\x01"  # Moses leaves nothing of it
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
    "directions": {"data": {**THREE, "valid": 0.1}},
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


def build(config: Config, folder: Path, workers: int = 1) -> tuple[Vocabularies, Manifest]:
    """What `s2s vocab build` does."""
    with Preparation(config, folder, workers) as preparation:
        preparation.tokenize()
        vocabularies, _ = learn_vocabularies(config, preparation, print)
        _, manifest = preparation.encode_anew(vocabularies)
        preparation.commit()
    return vocabularies, manifest


def learn_at_hand(config: Config, corpora: list[Corpus], words: TokenizedCorpus) -> SubwordPair:
    """Subwords from sentences in memory, those of one language behind the other."""
    sides: tuple[dict[str, list[list[str]]], ...] = ({}, {})
    rest = iter(zip(words.src, words.tgt, strict=True))
    for corpus in corpora:
        for _ in corpus.src:
            for side, lang, sentence in zip(sides, corpus.direction, next(rest), strict=True):
                side.setdefault(lang, []).append(sentence)
    src, tgt = ([words for group in side.values() for words in group] for side in sides)
    kinds, size = (config.text.src_subword, config.text.tgt_subword), config.vocab.max_size
    num_tags = len({name[-2:] for name in config.data.directions})
    if config.vocab.shared:
        both = train_subwords(kinds[0], [*src, *tgt], size, 1.0, num_tags)
        return both, both
    one, other = (
        None if kind == "none" else train_subwords(kind, side, size, 1.0)
        for kind, side in zip(kinds, (src, tgt), strict=True)
    )
    return one, other


@pytest.mark.parametrize("name", ["files", "table", "weighted", "held out", "directions"])
def test_every_pair_is_found_again_in_the_text(tmp_path: Path, name: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES[name])
    vocabularies, manifest = build(config, tmp_path / "data")
    stored, text = StoredPairs(tmp_path / "data", manifest.dtype), open_training(config.data)
    places = [stored.place_in_text(index) for index in range(len(stored))]
    lines = locate_pairs(text, places)
    assert len(lines) == len(stored) > 20
    tokenizers = [
        make_tokenizer(config.text.tgt_tokenizer, lang, config.text.lowercase) for lang in WORDS
    ]
    # Sources come in order, so the lines do as well.
    for index, line in enumerate(lines):
        where, _, sentences = line.partition(": ")
        src, tgt = sentences.split(" -> ")
        ids = [vocabularies.tgt.encode(tokenizer.tokenize(tgt)) for tokenizer in tokenizers]
        assert stored[index][1].tolist() in ids, line
        if name == "files":
            file, _, number = where.rpartition(":")
            assert Path(file).read_text(encoding="utf-8").split("\n")[int(number) - 1] == src


@pytest.mark.parametrize("name", RECIPES)
def test_pairs_on_disk_are_those_worked_out_in_memory(tmp_path: Path, name: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES[name])
    vocabularies, manifest = build(config, tmp_path / "data")
    stored = StoredPairs(tmp_path / "data", manifest.dtype)

    corpora, valid = load_training(config.data)
    words = tokenize_corpora(config, corpora)
    subwords = learn_at_hand(config, corpora, words)
    origin = {key: digest for corpus in corpora for key, digest in corpus.origin.items()}
    counts = count_tokens(words, subwords)
    expected = build_vocabularies(config, counts, subwords, origin.values(), "x")
    assert vocabularies == expected
    tokens = segment_corpus(words, subwords)
    encoded = encode_corpus(tokens, expected.src, expected.tgt, config.data.max_length)
    pairs = [(src.tolist(), tgt.tolist()) for src, tgt in (stored[i] for i in range(len(stored)))]
    assert pairs == encoded.pairs
    assert stored.lengths.tolist() == [[len(src), len(tgt)] for src, tgt in encoded.pairs]
    assert manifest.counts.model_dump() == {
        "pairs": len(pairs),
        "src_tokens": sum(len(src) for src, _ in pairs),
        "tgt_tokens": sum(len(tgt) for _, tgt in pairs),
        "src_unknown": sum(src.count(UNK_ID) for src, _ in pairs),
        "tgt_unknown": sum(tgt.count(UNK_ID) for _, tgt in pairs),
        "blank": sum(corpus.num_blank for corpus in corpora),
        "not_utf8": 0,
        "too_long": encoded.num_too_long,
        "empty": encoded.num_empty,
    }
    text = [pair for one in corpora for pair in zip(one.src, one.tgt, strict=True)]
    assert count_leaks(text, stored.fingerprints) == (len(text), len(text), len(text))
    assert len(stored.fingerprints.sources) == len({fold_sentence(src) for src, _ in text})
    with Preparation(config, tmp_path / "data", 1) as again:
        assert again.facts().origin == origin
        if isinstance(config.data.valid, float):
            assert again.facts().valid == valid
        assert again.encode(vocabularies)[1] == manifest
        assert again.why is None
        weights = weigh_pairs(again.text, manifest)
        if all(corpus.weight == 1 for corpus in corpora):
            assert weights is None
        else:
            assert weights is not None
            assert len(weights) == len(pairs)
            assert {*weights.tolist()} == {corpus.weight for corpus in corpora}


def contents(folder: Path) -> dict[str, object]:
    """All files, the manifest without times."""
    found: dict[str, object] = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"
    }
    manifest = read_manifest(folder)
    assert isinstance(manifest, Manifest)
    hashes = {name: facts.sha256 for name, facts in manifest.files.items()}
    return found | {"manifest": manifest.model_copy(update={"files": {}}), "hashes": hashes}


@pytest.mark.parametrize("name", ["subwords", "held out"])
def test_any_number_of_processes_writes_the_same_files(tmp_path: Path, name: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES[name])
    alone, _ = build(config, tmp_path / "one", 1)
    several, _ = build(config, tmp_path / "three", 3)
    assert alone == several
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_large_vocabularies_have_wider_ids() -> None:
    assert choose_dtype(10, 65_536) == "uint16"
    assert choose_dtype(65_537, 10) == "int32"


@pytest.fixture
def built(tmp_path: Path) -> tuple[Config, Path, Vocabularies]:
    """A corpus with pairs held out, on disk."""
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["held out"])
    return config, tmp_path / "data", build(config, tmp_path / "data")[0]


def encode_again(config: Config, folder: Path, vocabularies: Vocabularies) -> str | None:
    """Why it was encoded anew, if it was; what is there then is as if built at once."""
    with Preparation(config, folder, 1) as preparation:
        preparation.encode(vocabularies)
        why = preparation.why
        preparation.commit()
    with Preparation(config, folder, 1) as preparation:
        preparation.encode(vocabularies)
        assert preparation.why is None
    return why


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


def test_a_manifest_that_was_changed_anywhere_is_not_believed(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    path = folder / "manifest.json"
    whole = path.read_bytes()
    places = list(leaves(json.loads(whole)))
    assert len(places) > 40
    for place in places:
        tree = json.loads(whole)
        *way, last = place
        entry = tree
        for key in way:
            entry = entry[key]
        value = entry[last]
        entry[last] = value + 1 if isinstance(value, int | float) else f"{value}x"
        path.write_text(json.dumps(tree))
        found = read_manifest(folder)
        assert isinstance(found, str), place
    assert encode_again(config, folder, vocabularies) == "its manifest.json is damaged"
    for content in (b"", b"{}", b"[]", b"nonsense", whole[:-20]):
        path.write_bytes(content)
        assert read_manifest(folder) == "its manifest.json is damaged"
    path.unlink()
    assert encode_again(config, folder, vocabularies) == "it has no manifest.json"


def test_files_of_another_format_are_not_read(built: tuple[Config, Path, Vocabularies]) -> None:
    config, folder, vocabularies = built
    manifest = read_manifest(folder)
    assert isinstance(manifest, Manifest)
    manifest.model_copy(update={"format": 1}).write(folder)
    assert encode_again(config, folder, vocabularies) == f"its format is 1, not {FORMAT}"


@pytest.mark.parametrize("name", ["src.ids", "tgt.offsets", "pairs.hashes", "valid.jsonl"])
def test_files_that_lack_or_changed_bytes_are_noticed(
    built: tuple[Config, Path, Vocabularies], name: str
) -> None:
    config, folder, vocabularies = built
    path = folder / name
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


def test_a_corpus_that_was_copied_is_believed_once_its_hashes_were_compared(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    for path in folder.iterdir():
        os.utime(path, ns=(1, 1))
    for text in folder.parent.glob("x.*"):
        os.utime(text, ns=(2, 2))
    assert encode_again(config, folder, vocabularies) is None
    manifest = read_manifest(folder)
    assert isinstance(manifest, Manifest)
    assert {facts.mtime_ns for facts in manifest.files.values()} == {1}
    assert {facts.mtime_ns for facts in manifest.texts.values()} == {2}


def test_the_text_may_move_and_must_not_change(built: tuple[Config, Path, Vocabularies]) -> None:
    config, folder, vocabularies = built
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    for text in folder.parent.glob("x.*"):
        text.rename(elsewhere / text.name)
    data = config.data.model_copy(update={"folder": str(elsewhere)})
    moved = config.model_copy(update={"data": data})
    assert encode_again(moved, folder, vocabularies) is None
    with Preparation(moved, folder, 1) as preparation:
        assert all(str(elsewhere) in name for name in preparation.facts().origin)
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
def test_another_recipe_encodes_anew(
    built: tuple[Config, Path, Vocabularies], section: str, keys: dict[str, object], why: str
) -> None:
    config, folder, vocabularies = built
    tree = config.model_dump(mode="json")
    tree[section] |= keys
    other = check_config(tree, "x")
    assert encode_again(other, folder, vocabularies) == why


def test_what_changes_no_id_encodes_nothing_anew(
    built: tuple[Config, Path, Vocabularies],
) -> None:
    config, folder, vocabularies = built
    tree = config.model_dump(mode="json")
    tree["data"]["train"][0]["weight"] = 3.0
    tree["training"]["seed"] = 9
    tree["text"]["subword_sampling"] = 0.0
    assert encode_again(check_config(tree, "x"), folder, vocabularies) is None


def test_other_vocabularies_encode_anew(built: tuple[Config, Path, Vocabularies]) -> None:
    config, folder, _ = built
    vocab = config.vocab.model_copy(update={"max_size": 20})
    smaller = config.model_copy(update={"vocab": vocab})
    fewer, _ = build(smaller, folder.parent / "other")
    assert encode_again(config, folder, fewer) == "made with other vocabularies"


@pytest.mark.parametrize("stage", ["tokenising", "encoding"])
def test_what_is_not_committed_leaves_nothing_behind(tmp_path: Path, stage: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["files"])
    before = sorted(tmp_path.rglob("*"))

    def tell(told: str, *_: object) -> None:
        if told == stage:
            raise StoppedError("stopped", signal.SIGINT)

    def prepare() -> None:
        with Preparation(config, tmp_path / "runs" / "a" / "data", 1, tell) as preparation:
            vocabularies, _ = learn_vocabularies(config, preparation, print)
            preparation.encode_anew(vocabularies)

    with pytest.raises(StoppedError):
        prepare()
    assert sorted(tmp_path.rglob("*")) == before


KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from s2s_cli.data import pool, token_file
from s2s_cli.recipe import load_recipe
from s2s_cli.preparation.preparation import Preparation
from s2s_cli.preparation.learning import learn_vocabularies

def tell(stage, done, total):
    if stage == {stage!r} and done > 20:
        pids = [str(child.pid) for child in multiprocessing.active_children()]
        Path("pids").write_text(" ".join(pids))
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    token_file.CHUNK_PAIRS, pool.ALONE_CHUNKS = 7, 1
    config = load_recipe("my.yaml").config
    with Preparation(config, Path("data"), 2, tell) as preparation:
        vocabularies, _ = learn_vocabularies(config, preparation, print)
        preparation.encode_anew(vocabularies)
        preparation.commit()
"""


@pytest.mark.parametrize("stage", ["tokenising", "encoding"])
def test_what_a_kill_leaves_is_not_believed_and_cleared_away(tmp_path: Path, stage: str) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["files"])
    (tmp_path / "my.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    (tmp_path / "killed.py").write_text(KILLED.format(path=sys.path, stage=stage))
    done = subprocess.run([sys.executable, "killed.py"], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "data").exists()
    assert len(list(tmp_path.glob(".tmp-data-*"))) == 1
    # Processes that worked for it do not wait for ever.
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert pids
    while any(map(is_alive, pids)):  # until pytest's own timeout
        time.sleep(0.05)
    vocabularies, _ = build(config, tmp_path / "data")
    assert not list(tmp_path.glob(".*-data-*"))
    assert encode_again(config, tmp_path / "data", vocabularies) is None


def test_nothing_but_ids_stays(tmp_path: Path) -> None:
    make_texts(tmp_path)
    build(make_recipe(tmp_path, RECIPES["files"]), tmp_path / "data")
    left = {path.name for path in (tmp_path / "data").iterdir()}
    assert not left & {"words", "pieces"}
    assert "manifest.json" in left


def test_folders_of_other_machines_and_people_stay(tmp_path: Path) -> None:
    make_texts(tmp_path)
    others = [tmp_path / ".tmp-data-elsewhere-99", tmp_path / ".old-data-mine"]
    for other in others:
        other.mkdir()
    build(make_recipe(tmp_path, RECIPES["files"]), tmp_path / "data")
    assert all(other.is_dir() for other in others)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_text_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    make_texts(tmp_path)
    config = make_recipe(tmp_path, RECIPES["files"])
    with Preparation(config, tmp_path / "data", 1) as preparation:
        preparation.facts()
        path = tmp_path / "x.en"
        path.write_text(path.read_text().replace("dog", "cat"))
        with pytest.raises(DataError, match="changed while it was read"):
            preparation.words()
