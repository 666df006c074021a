"""Languages that are not named, and text in another script than that of its language."""

import gzip
import shutil
from pathlib import Path

import pytest
from shell import s2s

GERMAN = ["Der Hund schläft.", "Die Katze läuft.", "Das Pferd frisst Gras.", "Wir gehen."]
FRENCH = ["Le chien dort.", "Le chat court.", "Le cheval mange de l'herbe.", "Nous allons."]
CHINESE = ["狗在睡觉。", "猫在跑。", "马在吃草。", "我们走。"]
RUSSIAN = ["Собака спит.", "Кошка бежит.", "Лошадь ест траву.", "Мы идём."]
TINY_VOCAB = ["--set", "vocab.min_freq=1", "--run", "r"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small texts in several languages, under several names."""
    for lang, lines in {"de": GERMAN, "fr": FRENCH, "zh": CHINESE, "ru": RUSSIAN}.items():
        (tmp_path / f"t.{lang}").write_text("".join(f"{line}\n" for line in lines * 10))
    (tmp_path / "s.de.txt.gz").write_bytes(gzip.compress((tmp_path / "t.de").read_bytes()))
    shutil.copy(tmp_path / "t.zh", tmp_path / "a.src")
    shutil.copy(tmp_path / "t.de", tmp_path / "b.tgt")
    return tmp_path


def build(folder: Path, src: str, tgt: str, *more: object) -> str:
    files = ["--train-src", src, "--train-tgt", tgt]
    return s2s("vocab", "build", *files, *TINY_VOCAB, *more, cwd=folder).stderr


def refuse(folder: Path, src: str, tgt: str, *more: object) -> str:
    files = ["--train-src", src, "--train-tgt", tgt]
    done = s2s("vocab", "build", *files, *TINY_VOCAB, *more, cwd=folder, status=1)
    return done.stderr.splitlines()[-1]


def test_file_names_give_the_languages(folder: Path) -> None:
    output = build(folder, "s.de.txt.gz", "t.fr")
    assert "languages, by the names of the files: source de (s.de.txt.gz), target fr" in output
    assert "tokenisers: de moses, fr moses" in output
    assert "warning" not in "\n".join(line for line in output.split("\n") if "language" in line)


def test_languages_missing_from_file_names_are_assumed_and_reported_once(folder: Path) -> None:
    output = build(folder, "a.src", "b.tgt")
    assert output.count("languages assumed: source zh, target en") == 1
    output = build(folder, "a.src", "t.fr")
    assert "languages assumed: source zh, because no option" in output
    assert "target fr (t.fr)" in output


def test_a_recipe_without_languages_takes_them_from_its_files(folder: Path) -> None:
    (folder / "own.yaml").write_text(
        "data: {train: {src: t.de, tgt: t.fr}, valid: 0.2, test: null}"
    )
    done = s2s("vocab", "build", "-c", "own.yaml", *TINY_VOCAB, cwd=folder)
    assert "source de (t.de), target fr (t.fr)" in done.stderr
    (folder / "t.csv").write_text("de,fr\n" + "Hund,chien\nPferd,cheval\n" * 20)
    (folder / "table.yaml").write_text(
        "data: {train: {file: t.csv, src: de, tgt: fr}, valid: 0.2, test: null}"
    )
    done = s2s("vocab", "build", "-c", "table.yaml", *TINY_VOCAB, cwd=folder)
    assert "source de (de), target fr (fr)" in done.stderr


def test_options_and_named_recipes_are_not_overridden(folder: Path) -> None:
    output = build(folder, "t.de", "t.fr", "--src-lang", "nl", "--tgt-lang", "it")
    assert "tokenisers: nl moses, it moses" in output
    assert "its name says" not in output
    (folder / "own.yaml").write_text("data: {src_lang: de, tgt_lang: en}")
    output = build(folder, "t.de", "t.fr", "-c", "own.yaml")
    assert "tokenisers: de moses, en moses" in output
    assert output.count("its name says") == 1
    assert "t.fr: its name says fr, but the target language of own.yaml is en" in output


def test_nothing_is_reported_about_the_phrasebook(tmp_path: Path) -> None:
    output = s2s("vocab", "build", "--run", "r", cwd=tmp_path).stderr
    assert "language" not in output
    assert "script" not in output


def test_swapped_sides_are_refused(folder: Path) -> None:
    assert "are the sides swapped?" in refuse(folder, "t.de", "t.zh", "-c", "zh-en")
    for command in ("vocab", "build"), ("train",):
        files = ["--train-src", "b.tgt", "--train-tgt", "a.src"]
        done = s2s(*command, *files, *TINY_VOCAB, cwd=folder, status=1)
        *_, error = done.stderr.splitlines()
        assert "is zh, but" in error
        assert "b.tgt is in Latin script" in error
        assert "a.src is in Han script; are the sides swapped?" in error
    assert not (folder / "r").exists()


def test_another_script_is_reported_without_suggesting_swapped_sides(folder: Path) -> None:
    error = refuse(folder, "a.src", "t.ru", "-c", "zh-en")
    assert "100% of 40 target lines" in error
    assert "Cyrillic script, not in Latin as en is" in error
    assert "--tgt-lang" in error
    assert "swapped" not in error


def test_languages_named_by_options_only_cause_a_warning(folder: Path) -> None:
    output = build(folder, "b.tgt", "a.src", "--src-lang", "zh", "--tgt-lang", "en")
    assert output.count("are the sides swapped?") == 1
    assert "warning: data.train: the source language is zh" in output
    refuse(folder, "b.tgt", "a.src", "--src-lang", "zh")  # the target language is only assumed


def test_validation_text_is_checked_too(folder: Path) -> None:
    valid = ["--valid-src", "t.de", "--valid-tgt", "t.zh"]
    assert "data.valid: " in refuse(folder, "t.zh", "t.de", *valid)


def test_eval_takes_the_language_from_its_file_names(folder: Path) -> None:
    done = s2s("eval", "--hyp", "a.src", "--ref", "t.zh", "--bleu", cwd=folder)
    assert "tok:zh" in done.stdout
    assert "the target language is zh, according to the file names" in done.stderr
    done = s2s("eval", "--hyp", "t.zh", "--ref", "a.src", "--bleu", cwd=folder)
    assert "tok:zh" in done.stdout
    done = s2s("eval", "--hyp", "t.zh", "--ref", "t.zh", "--tgt-lang", "en", cwd=folder)
    assert "tok:13a" in done.stdout
    done = s2s("eval", "--hyp", "t.zh", "--ref", "t.zh", "-c", "zh-en", "--bleu", cwd=folder)
    assert "tok:13a" in done.stdout
    assert "warning: the file names say zh, but the target language of zh-en is en" in done.stderr
