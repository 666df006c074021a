"""Several directions in one model, from the recipe to the scores."""

import json
import math
from pathlib import Path

import pytest
from toys import error_of, output_of, s2s, save_toy

from s2s_cli.checkpoint import load_model
from s2s_cli.run import RunFolder
from s2s_cli.text.vocabulary import UNK_ID

NUMBERS = {
    "de": ["eins", "zwei", "drei", "vier"],
    "en": ["one", "two", "three", "four"],
    "fr": ["un", "deux", "trois", "quatre"],
}
ROWS = [(i, j, j, i, j) for i in range(4) for j in range(4)] * 4

RECIPE = """
data:
  directions: [de-en, en-de, de-fr]
  train: {src: "train.{src}", tgt: "train.{tgt}"}
  valid: {src: "train.{src}", tgt: "train.{tgt}"}
  test: {src: "train.{src}", tgt: "train.{tgt}"}
text: {src_tokenizer: space, tgt_tokenizer: space}
vocab: {min_freq: 1, shared: true}
model: {embed_size: 16, hidden_size: 24, attention_size: 16, tied: all, dropout: 0.0}
training: {epochs: 20, batch_size: 16, learning_rate: 0.01, best_by: perplexity, device: cpu}
"""
PIECES = [
    *("--set", "text.src_tokenizer=none", "--set", "text.tgt_tokenizer=none"),
    *("--set", "text.src_subword=bpe", "--set", "text.tgt_subword=bpe"),
    *("--set", "text.subword_sampling=0.03", "--set", "vocab.max_size=90"),
]


def write_rows(lang: str, rows: list[tuple[int, ...]]) -> str:
    return "".join(f"{' '.join(NUMBERS[lang][i] for i in row)}\n" for row in rows)


def write_texts(folder: Path) -> None:
    for lang in NUMBERS:
        (folder / f"train.{lang}").write_text(write_rows(lang, ROWS))
    (folder / "several.yaml").write_text(RECIPE)


def train(folder: Path, run: str, *more: object) -> Path:
    recipe = ["-c", folder / "several.yaml", "--data-dir", folder]
    output_of("train", *recipe, "--run", folder / run, *more)
    return folder / run


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with word tokens, trained in three directions."""
    folder = tmp_path_factory.mktemp("words")
    write_texts(folder)
    return train(folder, "run")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with subwords, trained briefly in the same directions."""
    folder = tmp_path_factory.mktemp("pieces")
    write_texts(folder)
    return train(folder, "run", "--epochs", 12, *PIECES)


@pytest.fixture(params=["words", "pieces"])
def learnt(request: pytest.FixtureRequest) -> Path:
    """Either of the two runs."""
    return Path(request.getfixturevalue(str(request.param)))


def test_the_tag_selects_the_language(learnt: Path) -> None:
    for lang in ("en", "fr"):
        ask = ["translate", "-m", learnt, "--from", "de", "--to", lang]
        translated = output_of(*ask, stdin=write_rows("de", ROWS[:16])).split()
        assert sum(word in NUMBERS[lang] for word in translated) > 0.8 * len(translated)
        assert len(translated) > 40


def test_every_direction_is_learned(words: Path) -> None:
    for src, tgt in (("de", "en"), ("en", "de"), ("de", "fr")):
        ask = ["translate", "-m", words, "--from", src, "--to", tgt]
        assert _count_right(output_of(*ask, stdin=write_rows(src, ROWS[:16])), tgt) > 12
    ask = ["translate", "-m", words, "--to", "de"]  # from English only
    found = output_of(*ask, stdin=write_rows("en", ROWS[:16]) + "\n")
    assert _count_right(found.removesuffix("\n"), "de") > 12


def _count_right(found: str, lang: str) -> int:
    wanted = write_rows(lang, ROWS[:16]).splitlines()
    return sum(a == b for a, b in zip(found.splitlines(), wanted, strict=True))


def test_vocabularies_and_models_list_their_directions(learnt: Path) -> None:
    tags = ("<2en>", "<2de>", "<2fr>")
    vocabularies, loaded = RunFolder(learnt).load_vocabularies(), load_model(learnt / "model")
    for found in (vocabularies.src, vocabularies.tgt, loaded.src.vocabulary, loaded.tgt.vocabulary):
        assert found.tokens[4:7] == found.tags == tags
        assert len(found) <= 90
    for card in (vocabularies.card, loaded.card):
        assert card.directions == ("de-en", "en-de", "de-fr")
        assert (card.src_lang, card.tgt_lang) == ("mul", "mul")
    subwords = vocabularies.subwords[0]
    if subwords is not None:
        assert not {*tags} & {*subwords.pieces}


def test_every_direction_is_evaluated_under_its_name(learnt: Path) -> None:
    done = s2s("eval", "--run", learnt)
    found = json.loads(done.stdout)
    folder = learnt.parent.name
    names = [f"{folder}-train-{direction}" for direction in ("de-en", "en-de", "de-fr")]
    assert list(found) == [*names, "mean"]
    scores = [found[name]["bleu"]["score"] for name in names]
    assert found["mean"] == {
        "bleu": {
            "score": pytest.approx(sum(scores) / 3),
            "signature": "mean of 3 test sets",
            "note": "BLEU says little: fewer than 100 sentences",
        }
    }
    for name in names:
        facts = json.loads((learnt / "reports" / name / "scores.json").read_text())
        assert facts["scores"] == found[name]
        assert facts["languages"] == name[-5:]
        assert name in done.stderr
    refs = (learnt / "reports" / names[2] / "references.txt").read_text()
    assert refs.startswith("un un un un un\nun deux deux un deux\n")


def test_one_direction_can_be_evaluated_alone(words: Path) -> None:
    found = json.loads(output_of("eval", "--run", words, "--to", "fr", "--bleu"))
    assert list(found) == ["bleu"]
    folder = words.parent
    files = ["--test-src", folder / "train.de", "--test-tgt", folder / "train.fr", "--bleu"]
    report = ["--report", folder / "here"]
    ask = ["eval", "-m", words, *files, *report]
    assert json.loads(output_of(*ask, "--to", "fr")) == found
    assert json.loads(output_of(*ask)) == found  # from the file names
    for name in ("train.de", "train.fr"):
        (folder / f"x{name[-1]}").write_bytes((folder / name).read_bytes())
    unnamed = ["--test-src", folder / "xe", "--test-tgt", folder / "xr"]
    assert "--to: missing; this model translates into en, de, fr" in error_of(
        "eval", "-m", words, *unnamed, *report
    )
    alone = (words / "model").rename(folder / "alone")
    try:
        assert json.loads(output_of("eval", "-m", alone, *ask[3:], "--to", "fr")) == found
    finally:
        alone.rename(words / "model")


def test_pairs_are_scored_with_their_own_tags(words: Path) -> None:
    whole = output_of("eval", "--run", words, "--score-pairs").splitlines()
    parts = []
    for src, tgt in (("de", "en"), ("en", "de"), ("de", "fr")):
        rows = output_of("eval", "--run", words, "--score-pairs", "--from", src, "--to", tgt)
        parts += rows.splitlines()[1:]
    assert whole[1:] == parts
    assert len(parts) == 3 * len(ROWS)
    # With the tag of another language the probability is low: French after the tag of English.
    files = [words.parent / f"train.{lang}" for lang in ("de", "fr")]
    wrong = ["--test-src", files[0], "--test-tgt", files[1], "--to", "en"]
    other = output_of("eval", "--run", words, "--score-pairs", *wrong).splitlines()[1:]
    assert other != parts[-len(ROWS) :]


def test_an_interrupted_run_resumes_to_the_same_bytes(words: Path) -> None:
    whole = train(words.parent, "whole", "--epochs", 3)
    halved = train(words.parent, "halved", "--epochs", 1)
    train(words.parent, "halved", "--epochs", 3)
    one, two = (run / "model" / "model.safetensors" for run in (whole, halved))
    assert one.read_bytes() == two.read_bytes()
    recipe = ["train", "-c", words.parent / "several.yaml", "--run", halved]
    recipe += ["--data-dir", words.parent]
    other = ["--set", "data.directions=[de-en, en-de, fr-en]", "--epochs", 3]
    assert "was trained with other settings (data.directions" in error_of(*recipe, *other)


def test_a_tag_in_the_text_is_ordinary_text(words: Path) -> None:
    plain = output_of("translate", "-m", words, "--to", "fr", "--json", stdin="<2de> eins\n")
    found = json.loads(plain)
    assert found["source_tokens"] == ["<2de>", "eins", "<eos>"]
    assert load_model(words / "model").src.vocabulary.encode(["<2de>"]) == [UNK_ID]


def test_alignments_and_attention_leave_out_the_tag(words: Path, tmp_path: Path) -> None:
    ask = ["translate", "-m", words, "--to", "en", "--from", "de", "--json"]
    ask += ["--alignments", tmp_path / "links"]
    (line,) = output_of(*ask, stdin="vier drei zwei\n").splitlines()
    found = json.loads(line)
    assert all(len(row) == 3 + 1 for row in found["attention"])
    for link in (tmp_path / "links").read_text().split():
        src, tgt = map(int, link.split("-"))
        row = found["attention"][tgt][:3]
        assert row[src] == max(row)


def test_no_tag_is_ever_generated(words: Path) -> None:
    # At so high a temperature, every token that can be generated is generated.
    ask = ["translate", "-m", words, "--to", "en", "--sample", "--n-best", 300, "--keep-unk"]
    found = output_of(*ask, "--set", "decoding.temperature=100", stdin="eins zwei\n")
    assert found.count("\n") == 300
    assert "<unk>" in found
    assert "quatre" in found
    assert "<2" not in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--to: missing; this model translates into en, de, fr; name one"),
        (["--to", "it"], "--to it: this model translates into en, de, fr; name one"),
        (
            ["--to", "de", "--from", "fr"],
            "--from fr: into de this model translates from en; name one",
        ),
        (["--from", "fr"], "--from fr: this model translates from de, en; name one"),
    ],
    ids=str,
)
def test_an_unknown_direction_is_refused(words: Path, options: list[str], message: str) -> None:
    assert message in error_of("translate", "-m", words, *options, stdin="eins\n")


def test_a_model_of_one_direction_accepts_only_its_own_languages(tmp_path: Path) -> None:
    toy = save_toy(tmp_path / "toy")
    plain = output_of("translate", "-m", toy, stdin="s t\n")
    assert output_of("translate", "-m", toy, "--from", "de", "--to", "en", stdin="s t\n") == plain
    message = error_of("translate", "-m", toy, "--to", "fr", stdin="s t\n")
    assert "--to fr: this model translates into en; leave it out" in message


def test_options_for_languages_are_refused_with_directions(words: Path) -> None:
    recipe = ["-c", words.parent / "several.yaml", "--data-dir", words.parent]
    message = error_of("train", *recipe, "--run", words.parent / "no", "--tgt-lang", "de")
    assert "--tgt-lang: has no effect with data.directions, which names" in message
    message = error_of("eval", "--run", words, "--tgt-lang", "de")
    assert "--tgt-lang: has no effect with several directions; use --to" in message


def test_validation_scores_the_mean_of_the_directions(learnt: Path) -> None:
    card = load_model(learnt / "model").card
    greedy = ["--beam-size", 1, "--length-penalty", 0]
    found = json.loads(output_of("eval", "--run", learnt, *greedy))
    assert card.valid_scores["bleu"] == pytest.approx(found["mean"]["bleu"]["score"])
    assert card.valid_scores["perplexity"] == pytest.approx(math.exp(card.valid_scores["loss"]))


def test_fine_tuning_needs_the_same_directions(words: Path) -> None:
    folder = words.parent
    run = train(folder, "tuned", "--from", words, "--epochs", 1)
    assert load_model(run / "model").card.directions == ("de-en", "en-de", "de-fr")
    recipe = ["train", "-c", folder / "several.yaml", "--data-dir", folder, "--from", words]
    other = ["--set", "data.directions=[de-en, fr-en]", "--run", folder / "other"]
    message = error_of(*recipe, *other)
    assert "data.directions is [de-en, en-de, de-fr] (here [de-en, fr-en])" in message


def test_vocab_show_asks_for_the_language_where_it_matters(words: Path, tmp_path: Path) -> None:
    shown = output_of("vocab", "show", "one <2de>", "--run", words)
    assert shown.splitlines()[2] == "unknown\t<2de>"
    write_texts(tmp_path)
    recipe = ["-c", tmp_path / "several.yaml", "--data-dir", tmp_path, "--run", tmp_path / "r"]
    output_of("vocab", "build", *recipe, "--set", "text.src_tokenizer=auto")
    ask = ["vocab", "show", "one", "--run", tmp_path / "r"]
    assert "--lang: missing; the vocabulary is for de-en, en-de, de-fr" in error_of(*ask)
    assert output_of(*ask, "--lang", "en").startswith("tokens\tone\n")


def test_an_ensemble_needs_the_same_directions(words: Path, tmp_path: Path) -> None:
    ask = ["translate", "-m", words, "--from", "de", "--to", "en"]
    one = output_of(*ask, stdin="eins vier\n")
    assert output_of(*ask, "-m", words, stdin="eins vier\n") == one
    toy = save_toy(tmp_path / "toy")
    assert "src_lang is de, but mul in" in error_of(*ask, "-m", toy, stdin="eins\n")
