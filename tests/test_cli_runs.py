"""Small trainings from the command line: real processes in a real folder."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from forked import signalled, start
from shell import S2S, SEED_SENTENCE, SUBWORDS, TINY, s2s, tiny_train


def wrong_calls() -> Iterator[tuple[list[str], str]]:
    yield ["translate"], "no trained model under runs/"
    yield ["eval", "--bleu"], "train one with `s2s train`"
    yield ["train", "-c", "quickstrat"], "did you mean 'quickstart'?"
    yield ["train", "-c", "zh-en"], "data.train.src: no such file: train.zh; name its folder"
    yield ["train", "--set", "model.cel=lstm"], "model.cel: no such key; did you mean 'cell'?"
    yield ["train", "--set", "epochs=3"], "not of the form section.key=value"
    yield ["train", "--device", "gpu"], "options: training.device: does not have the expected form"
    yield ["translate", "--device", "gpu"], "no trained model under runs/"
    yield (
        ["eval", "--hyp", "a", "--ref", "a", "--beam-size", "3"],
        "--beam-size: has no effect with --hyp and --ref",
    )
    yield (
        ["eval", "--hyp", "a", "--ref", "a", "--tgt-lang", "ZH"],
        "--tgt-lang ZH: languages are named by their codes; did you mean zh?",
    )
    yield (
        ["vocab", "build", "--min-freq", "9999"],
        "lower it, for example with --set vocab.min_freq=1",
    )
    yield ["train", "--train-src", "a", "--train-tgt", "empty"], "empty: empty; it needs one line"
    yield ["train", "--train-src", "a"], "--train-tgt: missing"
    yield ["vocab", "show"], "`s2s vocab build` makes them"
    yield ["translate", "none.txt"], "none.txt: no such file"
    yield ["translate", "-m", "none"], "none: no such model folder"
    yield ["eval", "--hyp", "a"], "--ref FILE: missing"
    yield ["eval", "--hyp", "a", "--ref", "long", "--tgt-lang", "en"], "reference 1 has 3 lines"
    yield ["eval", "--hyp", "empty", "--ref", "empty", "--tgt-lang", "en"], "no sentences to score"
    yield (
        ["eval", "--hyp", "a", "--ref", "a", "--tokenize", "x"],
        "--tokenize x: is not available; choose one of none,",
    )
    yield ["train", "--train-src", "a", "--train-tgt", "long"], "a has 2 lines"
    yield ["train", "--train-src", "latin1", "--train-tgt", "a"], "latin1:1: byte 4 (0xe9) is not"


def test_the_output_has_no_unk_unless_requested(texts: Path) -> None:
    # With five known words per side, most training tokens are <unk>, so the model learns <unk>.
    more = ["--set", "vocab.max_size=5", "--set", "training.learning_rate=0.02"]
    s2s(*tiny_train("--epochs", 10, "--run", "r", *more), cwd=texts)
    ask = ["translate", "my.zh", "-m", "r"]
    assert "<unk>" in s2s(*ask, "--keep-unk", cwd=texts).stdout
    done = s2s(*ask, cwd=texts)
    assert "<unk>" not in done.stdout
    assert set("猫狗鱼鸟") & set(done.stdout)  # source words replace <unk>


def test_existing_translations_are_scored_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "h").write_text("a b c d\nx\n")
    (tmp_path / "r0").write_text("a b c d\ny\n")
    (tmp_path / "r1").write_text("q\nx\n")
    files = ["--hyp", "h", "--ref", "r0", "--ref", "r1", "--tgt-lang", "en"]
    scores = json.loads(s2s("eval", "--bleu", *files, cwd=tmp_path).stdout)
    assert scores["bleu"]["score"] == pytest.approx(100)
    assert "nrefs:2" in scores["bleu"]["signature"]


def test_two_text_files_are_enough(texts: Path) -> None:
    files = ["--train-src", "my.zh", "--train-tgt", "my.en", "--src-lang", "zh", "--tgt-lang", "en"]
    done = s2s("train", *files, "--epochs", 2, *TINY, "--run", "my-run", cwd=texts)
    assert done.stdout == f"{Path('my-run/model')}\n"
    assert "5% of the training pairs are held out" in done.stderr
    assert "no vocabularies in my-run/vocab: building them" in done.stderr
    log = (texts / "my-run/train.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2]
    assert (texts / "my-run/config.yaml").is_file()


def test_the_log_may_have_a_line_for_every_few_updates(texts: Path) -> None:
    s2s(*tiny_train("--epochs", 2, "--run", "r", "--set", "training.log_every=3"), cwd=texts)
    log = (texts / "r/train.jsonl").read_text(encoding="utf-8").splitlines()
    validations = [json.loads(line) for line in log if "valid_seconds" in line]
    steps = [json.loads(line)["step"] for line in log if "epoch_tokens" in line]
    assert [line["epoch"] for line in validations] == [1, 2]
    assert steps == list(range(3, validations[-1]["step"] + 1, 3))


def test_the_same_seed_gives_the_same_bytes(texts: Path) -> None:
    for name in ("one", "two"):
        s2s(*tiny_train("--epochs", 2, "--run", name), cwd=texts)
    one, two = (texts / name / "model/model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    s2s(*tiny_train("--epochs", 2, "--run", "three", "--seed", 2), cwd=texts)
    assert (texts / "three/model/model.safetensors").read_bytes() != one.read_bytes()


@pytest.mark.fault("B9")
def test_a_finished_run_is_kept_continued_or_moved_aside(texts: Path) -> None:
    s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts)
    weights = (texts / "r/model/model.safetensors").read_bytes()
    again = s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts)
    assert "already trained" in again.stderr
    assert again.stdout == f"{Path('r/model')}\n"
    assert (texts / "r/model/model.safetensors").read_bytes() == weights
    more = s2s(*tiny_train("--epochs", 2, "--run", "r"), cwd=texts)
    assert "resumed after update 4" in more.stderr
    other = s2s(*tiny_train("--epochs", 1, "--run", "r", "--seed", 5), cwd=texts, status=1)
    assert "training.seed 1 -> 5" in other.stderr
    assert again.stderr.count("resumed") == 0
    fresh = s2s(*tiny_train("--epochs", 1, "--run", "r", "--fresh"), cwd=texts)
    assert "moved to r.bak-1" in fresh.stderr
    assert (texts / "r/model/model.safetensors").read_bytes() == weights
    assert (texts / "r.bak-1/model/model.safetensors").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_training_cleanly_and_the_run_resumes(texts: Path, number: int) -> None:
    # More epochs than can be trained before the signal arrives.
    command = [*S2S, *map(str, tiny_train("--epochs", 4000, "--run", "r"))]
    command += ["--set", "training.patience=4000"]
    process = subprocess.Popen(
        command, cwd=texts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    while not (texts / "r/model/manifest.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert process.returncode == 128 + number
    assert stdout == b""
    assert b"run the same command again to continue" in stderr
    assert b"Traceback" not in stderr
    stopped = re.search(rb"stopped after update (\d+)", stderr)
    assert stopped is not None
    step = int(stopped.group(1))
    epochs = 2 + step // 4
    done = s2s(
        *tiny_train("--epochs", epochs, "--run", "r"),
        *("--set", "training.patience=4000"),
        cwd=texts,
    )
    assert f"resumed after update {step:,}" in done.stderr
    assert not list((texts / "r").rglob(".tmp-*"))


def test_an_existing_vocabulary_is_used(texts: Path) -> None:
    files = ["--train-src", "my.zh", "--train-tgt", "my.en"]
    s2s("vocab", "build", *files, "--max-size", 6, "--min-freq", 1, "--run", "r", cwd=texts)
    assert len((texts / "r/vocab/src.tsv").read_text(encoding="utf-8").splitlines()) == 6
    other = s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts, status=1)
    assert "src_tokenizer jieba" in other.stderr  # TINY asks for characters
    done = s2s("train", *files, "--epochs", 1, *TINY[:6], "--run", "r", cwd=texts)
    assert "max_size 6" in done.stderr


def test_subwords_are_built_shown_trained_and_joined_again(texts: Path) -> None:
    files = ["--train-src", "my.zh", "--train-tgt", "my.en", *SUBWORDS, "--run", "r"]
    files += ["--valid-src", "my.zh", "--valid-tgt", "my.en"]
    built = s2s("vocab", "build", *files, "--max-size", 30, cwd=texts).stderr
    assert "tokenisers: zh none + unigram, en moses + bpe" in built
    assert "tokens/word" in built
    names = ["manifest.json", "src.model", "src.tsv", "tgt.model", "tgt.tsv"]
    assert sorted(path.name for path in (texts / "r/vocab").iterdir()) == [*names, "vocab.json"]
    shown = s2s("vocab", "show", "cat fisher!", "--side", "tgt", "--run", "r", cwd=texts).stdout
    tokens, _, unknown = shown.splitlines()
    assert tokens.replace(" ", "").startswith("tokens\t▁cat▁fish")
    assert unknown.endswith("!")
    trained = s2s("train", *files, "--epochs", 2, *TINY[:6], cwd=texts)
    assert "(none + unigram), en " in trained.stderr
    assert {*names} <= {path.name for path in (texts / "r/model").iterdir()}
    moved = (texts / "r/model").rename(texts / "alone")  # a model folder needs no other
    stdout = s2s("translate", "--model", moved, cwd=texts, stdin="猫狗\n\n狗鱼").stdout
    assert stdout.count("\n") == 3
    assert "▁" not in stdout
    other = s2s(*tiny_train("--run", "r"), cwd=texts, status=1)
    assert "r: was trained with other settings" in other.stderr


def test_a_small_text_reports_its_number_of_subwords(texts: Path) -> None:
    files = ["--train-src", "my.zh", "--train-tgt", "my.en", "--set", "text.src_tokenizer=none"]
    files += ["--set", "text.src_subword=bpe", "--valid-src", "my.zh", "--valid-tgt", "my.en"]
    built = s2s("vocab", "build", *files, cwd=texts).stderr
    assert re.search(r"zh: the text gives only \d+ of 10,000 entries", built)
    few = s2s("vocab", "build", *files, "--max-size", 6, cwd=texts, status=1).stderr
    assert "vocab.max_size: 6 entries are too few: the characters of the text alone need 9" in few


@pytest.mark.parametrize(
    "how",
    [pytest.param([], marks=pytest.mark.slow, id="words"), pytest.param(SUBWORDS, id="subwords")],
)
def test_a_killed_training_resumes_to_the_same_bytes(texts: Path, how: list[str]) -> None:
    more = ["--epochs", 30, "--set", "training.patience=30", "--set", "training.save_every=3", *how]
    s2s(*tiny_train("--run", "whole", *more), cwd=texts)
    log = texts / "killed/train.jsonl"
    killed = start(tiny_train("--run", "killed", *more), texts, setup=signalled(2, signal.SIGKILL))
    assert killed.wait().status == -signal.SIGKILL
    done = s2s(*tiny_train("--run", "killed", *more), cwd=texts)
    assert "resumed after update" in done.stderr
    one, two = (texts / name / "model/model.safetensors" for name in ("whole", "killed"))
    assert one.read_bytes() == two.read_bytes()
    assert not list((texts / "killed").rglob(".*"))
    epochs = [json.loads(line)["epoch"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert epochs == [*range(1, 31)]


def test_a_run_with_missing_files_is_not_silently_restarted(texts: Path) -> None:
    s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts)
    shutil.rmtree(texts / "r/model")
    done = s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts)
    assert "the best model is damaged" in done.stderr
    assert (texts / "r/model/model.safetensors").is_file()
    shutil.rmtree(texts / "r/checkpoints")
    refused = s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts, status=1)
    assert "has a model but no checkpoint" in refused.stderr
    assert (texts / "r/model/model.safetensors").is_file()


def test_fresh_moves_nothing_before_all_checks_pass(texts: Path) -> None:
    s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts)
    before = sorted(texts.rglob("*"))
    wrong = tiny_train("--run", "r", "--fresh", "--set", "vocab.min_freq=9999")
    assert (
        "lower it, for example with --set vocab.min_freq=1"
        in s2s(*wrong, cwd=texts, status=1).stderr
    )
    assert sorted(texts.rglob("*")) == before
    other = tiny_train("--epochs", 1, "--run", "r", "--fresh", "--set", "text.lowercase=true")
    assert "do not match; building new ones" in s2s(*other, cwd=texts).stderr


def test_vocabulary_sizes_given_to_train_are_not_ignored(texts: Path) -> None:
    s2s(*tiny_train("--epochs", 1, "--run", "r"), cwd=texts)
    asked = tiny_train("--epochs", 1, "--run", "r", "--set", "vocab.max_size=6")
    assert "was built with max_size 10000" in s2s(*asked, cwd=texts, status=1).stderr


def test_a_japanese_model_is_trained_without_mecab(texts: Path) -> None:
    files = tiny_train("--epochs", 1, "--run", "ja", "--tgt-lang", "ja")
    done = s2s(*files, cwd=texts)
    if "sacrebleu[ja]" in done.stderr:
        assert "validation BLEU compares characters" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"), list(wrong_calls()), ids=lambda v: " ".join(v)[:40]
)
def test_wrong_input_gives_one_clear_line_and_status_1(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "a").write_text("one two\nthree\n")
    (tmp_path / "long").write_text("1\n2\n3\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "latin1").write_bytes("caf\xe9\nb\n".encode("latin-1"))
    before = sorted(tmp_path.rglob("*"))
    done = s2s(*arguments, cwd=tmp_path, status=1)
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert message in last
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["train", "--epochs", "0"], ["train", "--bogus"], ["vocab", "build", "--max-size"]],
)
def test_wrong_usage_gives_status_2(tmp_path: Path, arguments: list[str]) -> None:
    assert "Error" in s2s(*arguments, cwd=tmp_path, status=2).stderr


def test_cuda_trains_or_is_refused_clearly(texts: Path) -> None:
    if torch.cuda.is_available():
        s2s(*tiny_train("--epochs", 1, "--device", "cuda"), cwd=texts)
    else:
        done = s2s("train", "--epochs", 10, "--device", "cuda", cwd=texts, status=1)
        assert "error: --device cuda: PyTorch finds no CUDA device here" in done.stderr
        assert not (texts / "runs").exists()


def test_a_read_only_folder_gives_a_clear_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    assert "Permission denied" in s2s("vocab", "build", cwd=tmp_path, status=1).stderr


def test_the_installed_command_is_the_module(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("s2s")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == s2s("--version", cwd=tmp_path).stdout
    assert re.fullmatch(r"s2s \d+\.\d+\.\d+\n", shown.stdout)


@pytest.mark.slow
def test_the_four_commands_verbatim(tmp_path: Path) -> None:
    s2s("vocab", "build", cwd=tmp_path)
    s2s("train", "--epochs", "10", cwd=tmp_path)
    assert s2s("translate", cwd=tmp_path, stdin=SEED_SENTENCE).stdout == (
        "I like studying machine learning.\n"
    )
    assert json.loads(s2s("eval", "--bleu", cwd=tmp_path).stdout)["bleu"]["score"] >= 90


def test_translating_does_not_import_the_pytorch_compiler(texts: Path) -> None:
    s2s(*tiny_train("--run", "r", "--epochs", 1), cwd=texts)
    code = (
        "import sys\n"
        "from s2s_cli import cli\n"
        "sys.argv = ['s2s', 'translate', 'my.zh', '-m', 'r', '-o', 'out']\n"
        "try:\n    cli.main()\nfinally:\n    print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=texts, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_model_is_fine_tuned_on_other_text(texts: Path) -> None:
    s2s(*tiny_train("--run", "general"), cwd=texts)
    for name in ("my.zh", "my.en"):
        lines = (texts / name).read_text(encoding="utf-8").split("\n")
        (texts / name).write_text("\n".join(lines[:16]) + "\n", encoding="utf-8")
    files = ["--train-src", "my.zh", "--train-tgt", "my.en", "--from", "general"]
    special = ["train", *files, "--run", "special", "--epochs", 1]
    done = s2s(*special, cwd=texts)
    assert "vocabularies: those of" in done.stderr
    assert "fine-tuning" in done.stderr
    for side in ("src", "tgt"):
        theirs, ours = (texts / run / "vocab" / f"{side}.tsv" for run in ("general", "special"))
        assert theirs.read_bytes() == ours.read_bytes()
    assert "already trained" in s2s(*special, cwd=texts).stderr
    other = ["train", *files, "--run", "other", "--set", "model.cell=lstm"]
    assert "its model.cell is gru" in s2s(*other, cwd=texts, status=1).stderr


def test_fine_tuning_takes_text_and_model_settings_from_the_pretrained_model(texts: Path) -> None:
    s2s(*tiny_train("--run", "general", "--set", "model.cell=lstm"), cwd=texts)
    files = ["--train-src", "my.zh", "--train-tgt", "my.en"]
    done = s2s("train", *files, "--from", "general", "--run", "mine", "--epochs", 1, cwd=texts)
    assert "text, model and languages: those of general" in done.stderr
    config = (texts / "mine" / "config.yaml").read_text(encoding="utf-8")
    assert "cell: lstm" in config
    # From scratch, the run has the vocabularies of the model again.
    again = ["--from", "general", "--run", "mine", "--epochs", 1, "--fresh"]
    assert "was moved to" in s2s("train", *files, *again, cwd=texts).stderr


def test_fresh_moves_nothing_before_the_model_is_made(texts: Path) -> None:
    s2s(*tiny_train("--run", "one"), cwd=texts)
    before = sorted(path.name for path in (texts / "one").rglob("*"))
    bad = tiny_train("--run", "one", "--fresh", "--set", "model.src_vectors=nofile.vec")
    assert "no such file" in s2s(*bad, cwd=texts, status=1).stderr
    assert sorted(path.name for path in (texts / "one").rglob("*")) == before
    assert not (texts / "one.bak-1").exists()
    bad = tiny_train("--run", "two", "--set", "model.tied=output", "--set", "model.readout=linear")
    assert "model.tied output" in s2s(*bad, cwd=texts, status=1).stderr
    assert not (texts / "two").exists()


def test_changed_search_settings_update_a_finished_run(texts: Path) -> None:
    s2s(*tiny_train("--run", "one"), cwd=texts)
    done = s2s(*tiny_train("--run", "one", "--set", "decoding.beam_size=9"), cwd=texts)
    assert "search settings updated from the recipe" in done.stderr
    card = json.loads((texts / "one" / "model" / "config.json").read_bytes())
    assert card["decoding"]["beam_size"] == 9
