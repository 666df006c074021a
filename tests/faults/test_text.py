"""Text of any kind: one newline is one line everywhere, and pairs stay aligned."""

import gzip
import io
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from forked import clean_error, s2s
from shell import S2S, TINY, tiny_train
from tally import Tally, trials

from s2s_cli.console import printable
from s2s_cli.data.lines import read_lines
from s2s_cli.data.pairs import ParallelText, open_files
from s2s_cli.data.stream import read_blocks
from s2s_cli.run import RunFolder
from s2s_cli.sources import Direction, ParallelFiles
from s2s_cli.text.tokenizer import make_tokenizer
from s2s_cli.text.vocabulary import MARKERS, Vocabulary

PIECES = [
    *("a", "bc", "我们", "é", "e\u0301", "😀", "", " ", "\t", "\u3000", "\xa0", "\u200b", "\u202e"),
    *("\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e", "\r", "\0", "\x1b[31m"),
    *("<s>", "</s>", "<unk>", "<pad>", "<2de>", "&amp;", '"', "'", "\\n", "\ufeff", "\U0010ffff"),
]
ENDS = [b"\n", b"\r\n", b"\n\n"]


def make_text(draw: random.Random) -> bytes:
    """A hostile file, in UTF-8."""
    lines = (
        "".join(draw.choices(PIECES, k=draw.randrange(6))).encode()
        for _ in range(draw.randrange(12))
    )
    content = b"".join(line + draw.choice(ENDS) for line in lines)
    if draw.random() < 0.3:
        content += "".join(draw.choices(PIECES, k=3)).encode()
    return (b"\xef\xbb\xbf" if draw.random() < 0.2 else b"") + content


class Dripping(io.RawIOBase):
    """A stream that returns a few bytes at a time."""

    def __init__(self, content: bytes, draw: random.Random) -> None:
        self._content, self._draw, self._place = content, draw, 0

    def read1(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        del size
        place, self._place = self._place, self._place + self._draw.randrange(1, 9)
        return self._content[place : self._place]


@pytest.mark.fault("D1")
def test_one_newline_is_one_line_for_every_kind_of_input(tmp_path: Path, tally: Tally) -> None:
    draw = random.Random(1)
    for number in range(trials(400, 10_000)):
        content = make_text(draw)
        (tmp_path / "x").write_bytes(content)
        (tmp_path / "x.gz").write_bytes(gzip.compress(content, 1))
        expected = content.count(b"\n")
        expected += not content.endswith(b"\n") and bool(content.replace(b"\xef\xbb\xbf", b""))
        with tally.trial(number):
            lines = read_lines(tmp_path / "x")
            assert len(lines) == expected, content
            assert read_lines(tmp_path / "x.gz") == lines
            for source in (io.BytesIO(content), Dripping(content, draw)):
                blocks = read_blocks(source, pytest.fail, 3)
                assert [line for block in blocks for line in block] == lines, content


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained model, `r`, in it."""
    folder = tmp_path_factory.mktemp("toy")
    words = {"猫": "cat", "狗": "dog", "鱼": "fish", "鸟": "bird"}
    pairs = [(a + b, f"{words[a]} {words[b]}") for a in words for b in words] * 4
    for name, side in (("my.zh", 0), ("my.en", 1)):
        content = "".join(f"{pair[side]}\n" for pair in pairs)
        (folder / name).write_text(content, encoding="utf-8")
    assert s2s(*tiny_train("--run", "r", "--epochs", 1), cwd=folder).status == 0
    return folder


TRANSLATE = ["translate", "-m", "r", "--beam-size", 1]


@pytest.mark.fault("D2")
def test_a_file_stdin_gzip_and_crlf_give_the_same_translations(toy: Path, tally: Tally) -> None:
    draw = random.Random(2)
    for number in range(trials(1, 60)):
        content = b"".join(make_text(draw).replace(b"\r", b"") for _ in range(8))
        content = content.replace(b"\xef\xbb\xbf", b"")
        (toy / "x").write_bytes(content)
        (toy / "x.gz").write_bytes(gzip.compress(content))
        (toy / "crlf").write_bytes(content.replace(b"\n", b"\r\n"))
        found = [s2s(*TRANSLATE, name, cwd=toy) for name in ("x", "x.gz", "crlf")]
        found.append(s2s(*TRANSLATE, cwd=toy, stdin=content))
        with tally.trial(number):
            assert [done.status for done in found] == [0] * 4
            assert len({done.stdout for done in found}) == 1, content
            expected = content.count(b"\n") + (content[-1:] not in {b"", b"\n"})
            assert found[0].stdout.count("\n") == expected


@pytest.mark.fault("D3")
@pytest.mark.parametrize(
    "content", ["a b\nc\n", "a b\nc", "\ufeffa b\nc\n", "a b\n\ufeffc\n", "a b\r\n\ufeffc\r\n"]
)
def test_byte_order_marks_and_line_endings_are_removed(tmp_path: Path, content: str) -> None:
    for text in (content, f"\ufeff{content}"):
        (tmp_path / "x").write_bytes(text.encode())
        assert read_lines(tmp_path / "x") == ["a b", "c"]
        blocks = read_blocks(io.BytesIO(text.encode()), pytest.fail, 9)
        assert [line for block in blocks for line in block] == ["a b", "c"]


@pytest.mark.fault("D4")
@pytest.mark.parametrize("lang", ["C", "C.UTF-8"])
def test_bytes_that_are_not_utf8(toy: Path, tally: Tally, lang: str) -> None:
    (toy / "bad.zh").write_bytes("猫猫\n狗".encode() + b"\xff\n")
    (toy / "ok.en").write_text("cat cat\ndog\n")

    def setup() -> None:
        os.environ["LC_ALL"] = lang

    run = f"bad-{lang}"
    files = ["--train-src", "bad.zh", "--train-tgt", "ok.en", "--run", run]
    with tally.trial("train"):
        line = clean_error(s2s(*tiny_train(*files), cwd=toy, setup=setup))
        assert "bad.zh:2: byte 4 (0xff) is not UTF-8" in line
        assert not (toy / run).exists()
    with tally.trial("train, skipping"):
        done = s2s(*tiny_train(*files, "--on-bad-utf8", "skip"), cwd=toy, setup=setup)
        assert done.status == 0, done.stderr
        assert "train: 1 pairs, 3 target tokens; left out: 1 not UTF-8" in done.stderr
    with tally.trial("valid is never skipped"):
        valid = ["--valid-src", "bad.zh", "--valid-tgt", "ok.en", "--on-bad-utf8", "skip"]
        assert "is not UTF-8" in clean_error(s2s(*tiny_train(*valid), cwd=toy, setup=setup))
    with tally.trial("translate"):
        done = s2s(*TRANSLATE, "bad.zh", cwd=toy, setup=setup)
        assert done.stdout.count("\n") == 2
        assert done.stderr.count("not UTF-8") == 1
    content = "猫猫\n狗狗\n".encode("gb18030")
    (toy / "gbk.zh").write_bytes(content)
    for name, given in (("a file", ["gbk.zh"]), ("stdin", [])):
        with tally.trial(f"translate {name} in GBK"):
            done = s2s(*TRANSLATE, *given, cwd=toy, stdin=content, setup=setup)
            assert "it looks like GB18030 (GBK); convert it" in clean_error(done)
            assert done.stdout == ""


ODD_LINES = {
    "NUL": "猫\0狗",
    "unassigned": "猫\u0378\U000e0fff狗",
    "noncharacter": "猫\ufdd0\uffff狗",
    "escape": "\x1b]0;x\x07猫",
    "millions of letters": "猫" * trials(100_000, 3_500_000),  # 10 MB
    "thousands of words": "猫 " * trials(10_000, 300_000),
}


@pytest.mark.fault("D5")
@pytest.mark.parametrize("name", ODD_LINES)
def test_odd_lines_neither_crash_nor_hang(toy: Path, tally: Tally, name: str) -> None:
    (toy / "odd").write_text(f"猫猫\n{ODD_LINES[name]}\n狗狗\n", encoding="utf-8")
    with tally.trial(name):
        done = s2s(*TRANSLATE, "odd", cwd=toy)
        assert done.status == 0, done.stderr
        assert done.stdout.count("\n") == 3
        assert ("1 of 3 lines have more than 1,000 tokens" in done.stderr) == (
            len(ODD_LINES[name]) > 1000
        )
    (toy / "odd.zh").write_text(f"{ODD_LINES[name]}\n" * 3 + "猫猫\n" * 9, encoding="utf-8")
    (toy / "odd.en").write_text("cat cat\n" * 12, encoding="utf-8")
    files = ["--train-src", "odd.zh", "--train-tgt", "odd.en", "--run", "odd-run"]
    with tally.trial(name):
        done = s2s(*tiny_train(*files, "--epochs", 1), cwd=toy)
        assert done.status == 0, done.stderr
        if len(ODD_LINES[name]) > 1000:
            assert "left out: 3 longer than" in done.stderr
    shutil.rmtree(toy / "odd-run", ignore_errors=True)


@pytest.mark.fault("D5")
def test_half_a_character_in_json_is_text_or_a_clear_error(toy: Path, tally: Tally) -> None:
    rows = [json.dumps({"s": "猫猫", "t": "cat cat"})] * 9
    (toy / "odd.jsonl").write_text("\n".join([*rows, r'{"s": "\ud800猫", "t": "cat"}', ""]))
    train = ["--set", "data.train={file: odd.jsonl, src: s, tgt: t}", "--run", "odd-run"]
    valid = ["--valid-src", "my.zh", "--valid-tgt", "my.en"]
    with tally.trial():
        line = clean_error(s2s("train", *train, *valid, *TINY, "--epochs", 1, cwd=toy))
        assert "odd.jsonl:10" in line


@pytest.mark.fault("D6")
@pytest.mark.parametrize("command", ["vocab", "train", "eval", "score"])
def test_sides_of_different_lengths_are_refused_with_both_counts(
    toy: Path, tally: Tally, command: str
) -> None:
    (toy / "short.en").write_text("cat cat\n" * 5)
    arguments = {
        "vocab": [
            "vocab",
            "build",
            "--train-src",
            "my.zh",
            "--train-tgt",
            "short.en",
            "--run",
            "none",
        ],
        "train": tiny_train("--train-tgt", "short.en", "--run", "none"),
        "eval": ["eval", "-m", "r", "--test-src", "my.zh", "--test-tgt", "short.en"],
        "score": ["eval", "--hyp", "my.en", "--ref", "short.en", "--tgt-lang", "en"],
    }[command]
    with tally.trial(command):
        line = clean_error(
            s2s(*arguments, "--run", "none", cwd=toy)
            if command in {"vocab", "train"}
            else s2s(*arguments, cwd=toy)
        )
        assert "64" in line
        assert "5" in line
    assert not (toy / "none").exists()


@pytest.mark.fault("D7")
def test_both_sides_of_a_half_blank_pair_are_left_out(tmp_path: Path, tally: Tally) -> None:
    draw = random.Random(7)
    for number in range(trials(20, 400)):
        rows = [
            (draw.choice(["", " ", "\t", f"s{i}"]), draw.choice(["", "\u3000", f"t{i}"]))
            for i in range(30)
        ]
        rows.append(("s", "t"))
        for side, name in enumerate(("x.src", "x.tgt")):
            (tmp_path / name).write_text("".join(f"{row[side]}\n" for row in rows))
        with tally.trial(number):
            text = _load(tmp_path)
            expected = [row for row in rows if row[0].strip() and row[1].strip()]
            assert text.pairs == expected
            assert len(text.rows) == len(rows)


def _load(folder: Path) -> ParallelText:
    source = ParallelFiles(src="x.src", tgt="x.tgt")
    paths = folder / "x.src", folder / "x.tgt"
    return open_files(source, paths, "train", Direction("de", "en")).load()


@pytest.mark.fault("D7")
def test_a_blank_line_has_a_blank_translation(toy: Path) -> None:
    done = s2s(*TRANSLATE, cwd=toy, stdin="猫猫\n\n \n狗狗\n".encode())
    assert [bool(line) for line in done.stdout.split("\n")] == [True, False, False, True, False]


@pytest.mark.fault("D8")
@pytest.mark.parametrize(
    ("src", "tgt"), [("", ""), ("\n\n", "\n\n"), ("猫 " * 300 + "\n", "cat\n")], ids=len
)
def test_a_text_without_pairs_gives_a_clear_error(
    toy: Path, tally: Tally, src: str, tgt: str
) -> None:
    (toy / "few.zh").write_text(src, encoding="utf-8")
    (toy / "few.en").write_text(tgt, encoding="utf-8")
    files = ["--train-src", "few.zh", "--train-tgt", "few.en", "--run", "few"]
    with tally.trial():
        assert "few" in clean_error(s2s(*tiny_train(*files), cwd=toy))
        assert not (toy / "few").exists()


@pytest.mark.fault("D8")
def test_one_line_of_unknown_words_is_enough(toy: Path, tally: Tally) -> None:
    (toy / "one.zh").write_text("猫\n", encoding="utf-8")
    (toy / "one.en").write_text("cat\n")
    files = ["--train-src", "one.zh", "--train-tgt", "one.en", "--run", "one", "--epochs", 1]
    with tally.trial("one pair"):
        assert s2s(*tiny_train(*files), cwd=toy).status == 0
    with tally.trial("unknown words"):
        done = s2s(*TRANSLATE, cwd=toy, stdin="龘龘\n".encode())
        assert done.status == 0
        assert done.stdout.count("\n") == 1
    with tally.trial("nothing to translate"):
        assert s2s(*TRANSLATE, cwd=toy).stdout == ""
    shutil.rmtree(toy / "one")


@pytest.mark.fault("D9")
def test_files_that_cannot_be_scored_together_are_refused(toy: Path, tally: Tally) -> None:
    (toy / "two").write_text("a b c d\ne f g h\n")
    (toy / "five").write_text("a b c d\n" * 5)
    (toy / "none").write_text("")
    for hyp, ref in (("two", "five"), ("none", "none"), ("two", "none")):
        with tally.trial(f"{hyp} {ref}"):
            clean_error(s2s("eval", "--hyp", hyp, "--ref", ref, "--tgt-lang", "en", cwd=toy))
    with tally.trial("signature"):
        done = s2s("eval", "--bleu", "--hyp", "two", "--ref", "two", "--tgt-lang", "zh", cwd=toy)
        assert "tok:zh" in json.loads(done.stdout)["bleu"]["signature"]


@pytest.mark.fault("D10")
def test_markers_in_text_are_ordinary_text(tally: Tally) -> None:
    tokenizer = make_tokenizer("space", "en", lowercase=False)
    vocabulary = Vocabulary(["a"], [1])
    for marker in (*MARKERS, "<s>", "</s>", "<2de>", "[UNK]"):
        with tally.trial(marker):
            ids = vocabulary.encode(tokenizer.tokenize(f"a {marker} a"))
            assert ids == [4, 0, 4], "a control id"


@pytest.mark.fault("D11")
@pytest.mark.parametrize("side", ["zh", "en"])
def test_a_run_is_not_resumed_with_changed_text(texts: Path, tally: Tally, side: str) -> None:
    train = tiny_train("--run", "r", "--epochs")
    assert s2s(*train, 1, cwd=texts).status == 0
    path = texts / f"my.{side}"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with tally.trial(side):
        line = clean_error(s2s(*train, 2, cwd=texts))
        assert "--fresh" in line, line


@pytest.mark.fault("D12")
def test_vocabularies_are_the_same_bytes_everywhere(texts: Path, tally: Tally) -> None:
    found = set()
    ways = [
        {"PYTHONHASHSEED": str(seed), "LC_ALL": locale, "S2S_WORKERS": workers}
        for seed, locale, workers in zip(
            range(5), ("C", "C.UTF-8", "POSIX", "de_DE.UTF-8", "C"), "12121", strict=True
        )
    ]
    for way in ways[: trials(2, 5)]:
        run = texts / f"r-{way['PYTHONHASHSEED']}"
        files = ["--train-src", "my.zh", "--train-tgt", "my.en", "--workers", way["S2S_WORKERS"]]
        valid = ["--valid-src", "my.zh", "--valid-tgt", "my.en"]
        command = [*S2S, "vocab", "build", *files, *valid, "--run", str(run)]
        subprocess.run(
            command, cwd=texts, env={**os.environ, **way}, check=True, capture_output=True
        )
        names = ("src.tsv", "tgt.tsv", "vocab.json")
        found.add(b"\0".join((RunFolder(run).vocab_path / name).read_bytes() for name in names))
        with tally.trial(str(way)):
            assert len(found) == 1


@pytest.mark.fault("C12")
def test_control_characters_in_text_do_not_reach_the_terminal(tally: Tally) -> None:
    steering = [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), 0x2066, 0x2069]
    for code in steering:
        with tally.trial(hex(code)):
            assert chr(code) not in printable(f"a{chr(code)}b")
    with tally.trial("text"):
        assert printable("我 é 😀 [unk] [/b] :smile:\t") == "我 é 😀 [unk] [/b] :smile:\t"


@pytest.mark.fault("C10")
def test_resuming_on_another_machine_is_reported(toy: Path, tally: Tally) -> None:
    shutil.copytree(toy / "r", toy / "moved")
    facts = json.loads((toy / "moved/run.json").read_bytes())
    (toy / "moved/run.json").write_text(json.dumps({**facts, "machine": "a far one"}))
    with tally.trial():
        done = s2s(*tiny_train("--run", "moved", "--epochs", 2), cwd=toy)
        assert done.status == 0, done.stderr
        assert "resumed elsewhere (machine a far one -> " in done.stderr
