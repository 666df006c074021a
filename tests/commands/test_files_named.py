"""Input and output files of commands, in every form that a shell offers."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest
from forked import clean_error, s2s
from shell import S2S, tiny_train
from toys import SOURCES, save_toy

TEXT = "".join(f"{line}\n" for line in SOURCES)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A folder that contains only a model and some text."""
    save_toy(tmp_path / "m")
    (tmp_path / "in.de").write_text(TEXT)
    return tmp_path


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command line that uses `s2s`."""
    line = f's2s() {{ {" ".join(S2S)} "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False
    )


def test_every_kind_of_input_and_output_works(toy: Path) -> None:
    found = shell(
        toy,
        "exec 3>&2 2> err;"
        "s2s translate -m m in.de > plain;"
        "s2s translate -m m - < in.de > dash;"
        "s2s translate -m m <(cat in.de) -o - > process;"
        "cat in.de | s2s translate -m m /dev/stdin -o /dev/stdout | cat > devices;"
        "echo before > appended; s2s translate -m m in.de -o /dev/stdout >> appended;"
        "s2s translate -m m in.de -o >(cat) | cat > substituted;"
        "s2s translate -m m in.de -o packed.gz; gunzip -k packed.gz;"
        "cat err >&3",
    )
    assert "rror" not in found.stderr, found.stderr
    plain = (toy / "plain").read_text()
    assert plain.count("\n") == len(SOURCES)
    assert (toy / "appended").read_text() == f"before\n{plain}"
    for name in ("dash", "process", "devices", "substituted", "packed"):
        assert (toy / name).read_text() == plain, name
    assert sorted(path.name for path in toy.glob(".*")) == []


def test_compressed_output_has_the_same_content_and_is_scored(toy: Path) -> None:
    for name in ("a.gz", "b.gz"):
        assert s2s("translate", "-m", "m", "in.de", "-o", name, cwd=toy).status == 0
    assert (toy / "a.gz").read_bytes() == (toy / "b.gz").read_bytes()
    (toy / "ref.gz").write_bytes(gzip.compress(TEXT.encode()))
    ask = ["eval", "--chrf", "--tgt-lang", "en", "--ref", "ref.gz", "--hyp"]
    packed = s2s(*ask, "a.gz", cwd=toy)
    assert packed.status == 0, packed.stderr
    piped = s2s(*ask, "-", cwd=toy, stdin=gzip.decompress((toy / "a.gz").read_bytes()))
    assert piped.status == 0, piped.stderr
    assert piped.stdout == packed.stdout


def test_training_text_may_come_through_pipes(texts: Path) -> None:
    more = ["--epochs", "1", "--set", "text.tgt_subword=bpe", "--set", "vocab.max_size=40"]
    command = " ".join(["s2s", *map(str, tiny_train(*more))])
    plain = shell(texts, f"{command} --run plain")
    assert plain.returncode == 0, plain.stderr
    piped = command.replace("my.en", "<(cat my.en)").replace("--train-src my.zh", "--train-src -")
    found = shell(texts, f"cat my.zh | {piped} --run piped")
    assert found.returncode == 0, found.stderr
    one, two = (texts / name / "model/model.safetensors" for name in ("plain", "piped"))
    assert one.read_bytes() == two.read_bytes()


def test_a_recipe_may_come_through_a_pipe(texts: Path) -> None:
    recipe = "data: {train: {src: my.zh, tgt: my.en}, valid: 0.2, test: null}\n"
    done = s2s("vocab", "build", "-c", "-", "--run", "r", cwd=texts, stdin=recipe.encode())
    assert done.status == 0, done.stderr
    assert (texts / "r/vocab/src.tsv").is_file()


def test_text_named_in_a_recipe_may_be_standard_input(texts: Path) -> None:
    sets = ["--set", "data.train={src: '-', tgt: my.en}", "--set", "data.valid=0.2"]
    stdin = (texts / "my.zh").read_bytes()
    done = s2s("vocab", "build", "--run", "r", *sets, cwd=texts, stdin=stdin)
    assert done.status == 0, done.stderr
    assert (texts / "r/data/train").is_dir()


@pytest.mark.parametrize(
    "command",
    [
        "translate -m m in.de -o in.de",
        "translate -m m in.de -o out --alignments out",
        "translate -m m in.de -o out --alignments ./link",
        "translate -m m in.de --alignments -",
        "translate -m m in.de -o - --alignments /dev/stdout",
        "translate -m m in.de -o out --prefix-file out",
        "translate -m m in.de -o out --dictionary out",
        "translate -m m in.de -o m",
        "translate -m m --prefix-file -",
        "train --train-src - --train-tgt -",
        "vocab build --train-src in.de --train-tgt out --valid-src - --valid-tgt /dev/stdin",
        "eval --hyp - --ref -",
        "results --output page.json",
    ],
)
def test_clashing_files_are_refused_before_they_are_touched(toy: Path, command: str) -> None:
    (toy / "out").write_text("mine\n")
    (toy / "link").symlink_to("out")
    line = clean_error(s2s(*command.split(), cwd=toy, stdin=TEXT.encode()))
    assert "name " in line
    assert "--" in line
    assert (toy / "out").read_text() == "mine\n"
    assert (toy / "in.de").read_text() == TEXT
    assert sorted(path.name for path in toy.iterdir()) == ["in.de", "link", "m", "out"]


def test_a_device_may_be_named_twice(toy: Path) -> None:
    command = ["translate", "-m", "m", "in.de", "-o", os.devnull, "--alignments", os.devnull]
    assert s2s(*command, cwd=toy).status == 0


@pytest.mark.parametrize(
    "command",
    [
        "translate -m m m",
        "translate -m m --prefix-file m in.de",
        "translate -m m --dictionary m in.de",
        "eval --hyp m --ref in.de --tgt-lang en",
        "train --train-src m --train-tgt in.de",
        "train --set data.train={src:m,tgt:in.de}",
        "train --set data.train={file:m,src:1,tgt:2}",
        "train -c m",
    ],
)
def test_a_folder_in_place_of_a_file_is_reported(toy: Path, command: str) -> None:
    line = clean_error(s2s(*(word.replace(":", ": ") for word in command.split()), cwd=toy))
    assert "is a folder" in line


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_text_in_another_encoding_is_refused_before_translating(toy: Path, encoding: str) -> None:
    text = "我喜欢学习\n机器学习\n".encode(encoding)
    (toy / "bad.de").write_bytes(text)
    for command in (["translate", "-m", "m", "bad.de"], ["translate", "-m", "m"]):
        done = s2s(*command, cwd=toy, stdin=text)
        assert f"iconv -f {encoding.upper()} -t UTF-8" in clean_error(done)
        assert done.stdout == ""
    line = clean_error(
        s2s("eval", "--hyp", "bad.de", "--ref", "in.de", "--tgt-lang", "en", cwd=toy)
    )
    assert f"iconv -f {encoding.upper()} -t UTF-8 < bad.de > bad.utf8.de" in line
