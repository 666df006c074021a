"""Sources of every kind, several test sets and labels, through the command line."""

import gzip
import json
from pathlib import Path

import pytest
from shell import TINY, s2s

ANIMALS = {"猫": "cat", "狗": "dog", "鱼": "fish", "鸟": "bird"}
PAIRS = [(a + b, f"{ANIMALS[a]} {ANIMALS[b]}") for a in ANIMALS for b in ANIMALS] * 4

RECIPE = """
data:
  train:
    - {file: one.csv.gz, src: zh, tgt: 1, weight: 2}
    - {file: two.jsonl, src: text.zh, tgt: text.en, weight: 0.5}
    - {file: three.txt, format: tsv, src: 2, tgt: 1, rows: "2-"}
    - {src: four.zh, tgt: four.en}
  valid: 0.2
  test:
    - {src: test.zh, tgt: [test.en, more.en]}
    - {file: three.txt, format: tsv, src: 2, tgt: 1, rows: "1-16"}
"""


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A recipe with a source of every kind, and their files."""
    rows = ["en,zh", *(f"{en},{zh}" for zh, en in PAIRS)]
    (tmp_path / "one.csv.gz").write_bytes(gzip.compress("\r\n".join(rows).encode()))
    trees = [{"text": {"zh": zh, "en": en}} for zh, en in PAIRS]
    write_lines(tmp_path / "two.jsonl", [json.dumps(tree) for tree in trees])
    write_lines(tmp_path / "three.txt", [f"{en}\t{zh}\tby no one" for zh, en in PAIRS] + [""])
    for name in ("four", "test"):
        write_lines(tmp_path / f"{name}.zh", [zh for zh, _ in PAIRS])
        write_lines(tmp_path / f"{name}.en", [en for _, en in PAIRS])
    write_lines(tmp_path / "more.en", [f"a {en}" for _, en in PAIRS])
    (tmp_path / "my.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def test_sources_of_every_kind_train_together_and_each_test_set_is_reported(tables: Path) -> None:
    built = s2s("vocab", "build", "-c", "my.yaml", *TINY, cwd=tables).stderr
    assert "64 of 64 source sentences also occur in train" not in built  # valid is held out
    assert "test: " in built
    assert "of 80 source sentences also occur in train" in built
    s2s("train", "-c", "my.yaml", "--epochs", 1, *TINY, cwd=tables)
    done = s2s("eval", "--bleu", "--tokenized", cwd=tables)
    found = json.loads(done.stdout)
    first, second = f"{tables.name}-test", f"{tables.name}-three-1-16"
    assert list(found) == [first, second]
    assert found[first]["bleu"]["signature"].startswith("nrefs:2|")
    assert found[second]["bleu"]["signature"].startswith("nrefs:1|")
    assert found[second]["bleu-tokens"]["signature"].endswith("words:moses")
    assert first in done.stderr
    assert second in done.stderr
    reports = tables / "runs/my/reports"
    page = (reports / first / "report.html").read_text(encoding="utf-8")
    assert "<dd>a cat cat</dd>" in page
    assert len((reports / first / "references-2.txt").read_bytes().splitlines()) == 64
    assert not (reports / second / "references-2.txt").exists()
    # Resuming as the same run; another weight is another run.
    s2s("train", "-c", "my.yaml", "--epochs", 2, *TINY, cwd=tables)
    weight = ["--set", "data.train.0.weight=3"]
    refused = s2s("train", "-c", "my.yaml", "--epochs", 2, *TINY, *weight, cwd=tables, status=1)
    assert "data.train weights [2.0, 0.5, 1.0, 1.0] -> [3.0, 0.5, 1.0, 1.0]" in refused.stderr


def test_prepared_pairs_are_reused_and_stale_ones_encoded_again(tables: Path) -> None:
    build = ["vocab", "build", "-c", "my.yaml", *TINY, "--workers", 2]
    s2s(*build, cwd=tables)
    data = tables / "runs/my/data"
    files = {path: path.stat().st_ino for path in data.glob("*/*")}
    names = {str(path.relative_to(data)) for path in files}
    assert {"train/src.ids", "train/tgt.offsets", "valid/text.jsonl", "test/tgt.ids"} < names
    train = ["train", "-c", "my.yaml", "--epochs", 1, *TINY]
    done = s2s(*train, cwd=tables)
    assert "encoded again" not in done.stderr
    assert {path: path.stat().st_ino for path in data.glob("*/*")} == files
    path = data / "train" / "tgt.ids"
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    again = s2s(*train[: -len(TINY) - 1], 2, *TINY, cwd=tables)
    assert "runs/my/data/train: tgt.ids is damaged (SHA-256); encoded again" in again.stderr
    assert "resumed after update" in again.stderr
    assert path.read_bytes() == content
    # A refused run keeps its pairs.
    longer = [*train, "--set", "data.max_length=50"]
    assert "data.max_length 100 -> 50" in s2s(*longer, cwd=tables, status=1).stderr
    assert "encoded again" not in s2s(*train[: -len(TINY) - 1], 2, *TINY, cwd=tables).stderr
    assert not list((tables / "runs/my").glob(".*"))


def test_several_references_may_be_named(tables: Path) -> None:
    valid = ["--valid-src", "four.zh", "--valid-tgt", "four.en"]
    files = ["--train-src", "four.zh", "--train-tgt", "four.en", *valid]
    s2s("train", *files, "--epochs", 1, "--run", "r", *TINY, cwd=tables)
    test = ["--test-src", "test.zh", "--test-tgt", "test.en", "--test-tgt", "more.en"]
    done = s2s("eval", "--run", "r", "--bleu", *test, "--report", "here", cwd=tables)
    assert json.loads(done.stdout)["bleu"]["signature"].startswith("nrefs:2|")
    assert (tables / "here" / "references-2.txt").is_file()
    wrong = s2s("eval", "--run", "r", "--accuracy", *test, cwd=tables, status=1)
    assert "needs one reference per line, and there are 2" in wrong.stderr
    assert " sentences\n" not in wrong.stderr  # refused before anything is translated


def test_labels_are_recognised_and_scored_as_labels(tmp_path: Path) -> None:
    sentences = {"好": "good", "坏": "bad"}
    src = [word * n for word in sentences for n in range(1, 11)]
    write_lines(tmp_path / "my.zh", src)
    write_lines(tmp_path / "my.en", [sentences[line[0]] for line in src])
    files = [f"--{split}-{side}" for split in ("train", "valid", "test") for side in ("src", "tgt")]
    given = [
        part for option in files for part in (option, f"my.{'zh' if 'src' in option else 'en'}")
    ]
    s2s("train", *given, "--epochs", 1, "--run", "r", *TINY, cwd=tmp_path)
    done = s2s("eval", "--run", "r", "--bleu", cwd=tmp_path)
    assert "the references look like labels (bad, good)" in done.stderr
    assert "as other" in done.stderr
    found = json.loads(done.stdout)
    assert found["accuracy"]["signature"].endswith("|labels:2")
    folder = next((tmp_path / "r/reports").iterdir())
    numbers = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert numbers["scores"] == found
    assert sum(map(sum, numbers["confusion"]["counts"])) == 20
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "References in rows, translations in columns" in page
    quiet = s2s("eval", "--run", "r", "--bleu", "--no-accuracy", cwd=tmp_path)
    assert list(json.loads(quiet.stdout)) == ["bleu"]


def test_existing_translations_are_scored_as_labels_and_as_tokens(tmp_path: Path) -> None:
    write_lines(tmp_path / "hyp", ["good", "bad", "fine"] * 5)
    write_lines(tmp_path / "ref", ["good", "bad", "bad"] * 5)
    call = ["eval", "--hyp", "hyp", "--ref", "ref", "--tgt-lang", "en", "--bleu", "--tokenized"]
    found = json.loads(s2s(*call, cwd=tmp_path).stdout)
    assert list(found) == ["bleu", "bleu-tokens", "accuracy"]
    assert found["accuracy"]["score"] == pytest.approx(200 / 3)


def test_a_wrong_source_gives_one_clear_line(tables: Path) -> None:
    for override, message in (
        ("data.train.0.src=zn", "one.csv.gz:1: 'zn' is not in the header, which is 'en', 'zh'"),
        ("data.train.1.src=text.zn", "two.jsonl:1: has no field 'text.zn'"),
        ("data.train.2.format=auto", "three.txt: the file name does not show the format"),
        ("data.train.2.file=3.txt", "data.train.2.file: no such file: 3.txt; name its folder"),
        ("data.train.4.file=3.txt", "its entries are data.train.0, data.train.1"),
        ("data.train.1.weigth=2", "data.train.1.weigth: no such key; did you mean 'weight'?"),
    ):
        done = s2s("train", "-c", "my.yaml", "--set", override, cwd=tables, status=1)
        assert message in done.stderr.splitlines()[-1]
        assert done.stdout == ""
