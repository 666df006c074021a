import io
import json
from pathlib import Path

import pytest
from toys import SOURCES, error_of, output_of, s2s, save_toy

from s2s_cli.commands.loading import load_translator, locate_model
from s2s_cli.commands.rendering import Rendering, read_prefixes
from s2s_cli.commands.streaming import Sinks, translate_stream
from s2s_cli.config import Text

TEXT = "".join(f"{line}\n" for line in SOURCES)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return save_toy(tmp_path / "toy")


def test_every_translation_starts_with_the_prefix(toy: Path) -> None:
    lines = output_of("translate", "-m", toy, "--prefix", "c newword", stdin=TEXT).split("\n")
    for source, line in zip(SOURCES, lines[:-1], strict=True):
        assert line.startswith("c newword") == bool(source)


def test_a_prefix_file_has_a_prefix_for_each_line(toy: Path, tmp_path: Path) -> None:
    prefixes = ["a b", "c", "", "d", "e f"]
    (tmp_path / "p").write_text("".join(f"{line}\n" for line in prefixes))
    ask = ("translate", "-m", toy)
    lines = output_of(*ask, "--prefix-file", tmp_path / "p", stdin=TEXT).split("\n")
    for source, prefix, line in zip(SOURCES, prefixes, lines[:-1], strict=True):
        alone = output_of(*ask, "--prefix", prefix, stdin=f"{source}\n")
        assert f"{line}\n" == alone
        assert line.startswith(prefix) or not source


@pytest.mark.parametrize(("count", "message"), [(4, "the input has more"), (6, "input only 5")])
def test_a_prefix_file_of_another_length_is_refused(
    toy: Path, tmp_path: Path, count: int, message: str
) -> None:
    (tmp_path / "p").write_text("a\n" * count)
    ask = ("translate", "-m", toy, "-o", tmp_path / "out", "--prefix-file", tmp_path / "p")
    assert message in error_of(*ask, stdin=TEXT)
    assert not (tmp_path / "out").exists()


def test_alignments_have_a_line_per_sentence_and_link_each_target_token(
    toy: Path, tmp_path: Path
) -> None:
    ask = ("translate", "-m", toy, "--json", "--alignments", tmp_path / "links")
    found = [json.loads(line) for line in output_of(*ask, stdin=TEXT).splitlines()]
    rows = (tmp_path / "links").read_text().split("\n")
    assert rows.pop() == ""
    for source, translation, row in zip(SOURCES, found, rows, strict=True):
        links = [tuple(map(int, link.split("-"))) for link in row.split()]
        assert links == sorted(links)
        assert sorted(tgt for _, tgt in links) == list(range(len(translation["tokens"])))
        for src, tgt in links:
            attention = translation["attention"][tgt][: len(source.split())]
            assert attention[src] == max(attention)


def test_alignments_without_attention_are_refused(tmp_path: Path) -> None:
    toy = save_toy(tmp_path / "toy", context="initial")
    ask = ("translate", "-m", toy, "--alignments", tmp_path / "links")
    assert "--alignments: requires attention" in error_of(*ask, stdin=TEXT)
    assert not (tmp_path / "links").exists()


def test_a_dictionary_translates_unknown_words(tmp_path: Path) -> None:
    # Without known target words, every output token is <unk>.
    text = Text(src_tokenizer="space", tgt_tokenizer="space", lowercase=True)
    toy = save_toy(tmp_path / "toy", tgt="", text=text)
    (tmp_path / "d.tsv").write_text("S\tEss\nt\ttee time\nq\tcue\n")
    ask = ("translate", "-m", toy, "--set", "decoding.min_length_factor=1")
    plain = output_of(*ask, stdin="s t t s\n").split()
    assert set(plain) <= {"s", "t"}
    spoken = output_of(*ask, "--dictionary", tmp_path / "d.tsv", stdin="s t t s\n")
    assert spoken == " ".join({"s": "Ess", "t": "tee time"}[word] for word in plain) + "\n"
    stderr = s2s(*ask, "--dictionary", tmp_path / "d.tsv", stdin="s t t s\n").stderr
    assert f"dictionary: {len({*plain})} of 3 entries used" in stderr
    kept = output_of(*ask, "--keep-unk", "--dictionary", tmp_path / "d.tsv", stdin="s t t s\n")
    assert set(kept.split()) == {"<unk>"}


def test_a_dictionary_without_attention_has_no_effect(tmp_path: Path) -> None:
    (tmp_path / "d.tsv").write_text("s\tess\n")
    ask = ("translate", "--dictionary", tmp_path / "d.tsv", "-m")
    toy = save_toy(tmp_path / "toy", context="every_step")
    idle = f"{tmp_path / 'd.tsv'}: has no effect with a model without attention"
    assert idle in s2s(*ask, toy, stdin=TEXT).stderr
    other = save_toy(tmp_path / "other")
    assert idle not in s2s(*ask, toy, "-m", other, stdin=TEXT).stderr


def test_samples_are_the_same_for_a_seed_and_a_sentence(toy: Path) -> None:
    ask = ("translate", "-m", toy, "--sample", "--n-best", 4, "--set", "decoding.temperature=2.5")
    whole = output_of(*ask, "--seed", 3, stdin=TEXT)
    assert output_of(*ask, "--seed", 3, "--batch-size", 1, stdin=TEXT) == whole
    assert output_of(*ask, "--seed", 4, stdin=TEXT) != whole
    assert whole.count("\n0 |||") == 3


def test_minimum_bayes_risk_decoding_says_once_what_it_does(toy: Path) -> None:
    ask = ("translate", "-m", toy, "--set", "decoding.search=mbr", "--seed", 3)
    ask = (*ask, "--set", "decoding.num_samples=8", "--json")
    done = s2s(*ask, stdin=TEXT)
    note = (
        "minimum Bayes risk decoding: of 8 samples of each sentence, the one with the highest mean "
        "chrF against all of them; this mean is its score\n"
    )
    assert done.stderr.count(note) == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["score"] > 0 > each["log_prob"] for each in found] == [*map(bool, SOURCES)]
    alone = map(json.loads, output_of(*ask, "--batch-size", 1, stdin=TEXT).splitlines())
    for one, other in zip(alone, found, strict=True):
        assert (one["translation"], one["score"]) == (other["translation"], other["score"])
    bleu = ("--set", "decoding.utility=bleu")
    assert "highest mean BLEU against" in s2s(*ask, *bleu, stdin=TEXT).stderr
    assert "Bayes" not in s2s("translate", "-m", toy, stdin=TEXT).stderr


def test_an_ensemble_of_a_model_with_itself_translates_like_the_model(
    toy: Path, tmp_path: Path
) -> None:
    one = output_of("translate", "-m", toy, stdin=TEXT)
    assert output_of("translate", "-m", toy, "-m", toy, stdin=TEXT) == one
    other = save_toy(tmp_path / "other", seed=2, cell="lstm", context="initial", num_layers=2)
    two = output_of("translate", "-m", toy, "-m", other, stdin=TEXT)
    assert output_of("translate", "-m", other, "-m", toy, stdin=TEXT) == two


@pytest.mark.parametrize(
    ("difference", "message"),
    [
        ({"tgt": "abcdeg"}, "its target vocabulary (10 tokens) differs from that of"),
        ({"src": "stuv"}, "its source vocabulary (8 tokens) differs from that of"),
        ({"tgt_lang": "fr"}, "tgt_lang is fr, but en in"),
        (
            {"text": Text(src_tokenizer="char", tgt_tokenizer="space")},
            "text.src_tokenizer is char, but space in",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_ensemble_of_models_that_do_not_match_is_refused(
    toy: Path, tmp_path: Path, difference: dict[str, object], message: str
) -> None:
    other = save_toy(tmp_path / "other", **difference)  # type: ignore[arg-type]
    assert message in error_of("translate", "-m", toy, "-m", other, stdin=TEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prefix", "a", "--prefix-file", "p"], "--prefix: has no effect with --prefix-file"),
        (["--prefix-file", "none"], "none: no such file"),
        (["--seed", "3"], "--seed: has no effect with decoding.search beam"),
        (
            ["--sample", "--beam-size", "3"],
            "--beam-size: has no effect",
        ),
        (
            ["--sample", "--length-penalty", "1"],
            "--length-penalty: has no effect",
        ),
        (["--run", "r"], "--run: has no effect with --model"),
        (["-c", "quickstart"], "--config: cannot be combined with --model"),
        (["--dictionary", "none"], "decoding.dictionary: no such file: none"),
        (["--set", "decoding.top_p=0"], "decoding.top_p: "),
        (["--set", "decoding.min_length_factor=3"], "no translation satisfies both"),
        (["--set", "decoding.search=greedy"], "decoding.search: "),
        (
            ["--set", "decoding.search=mbr", "--beam-size", "3"],
            "--beam-size: has no effect with decoding.search mbr",
        ),
        (
            ["--set", "decoding.num_samples=8"],
            "--set decoding.num_samples: has no effect with decoding.search beam; add --set "
            "decoding.search=mbr",
        ),
    ],
    ids=str,
)
def test_impossible_options_are_refused(toy: Path, options: list[str], message: str) -> None:
    assert message in error_of("translate", "-m", toy, *options, stdin=TEXT)


def test_output_is_written_while_the_input_is_read(toy: Path) -> None:
    happened: list[str] = []

    class Noting(io.BytesIO):
        """Returns one line at a time, and records the time."""

        def read1(self, size: int | None = -1, /) -> bytes:
            happened.append("read")
            return self.readline()

    loaded = load_translator(locate_model(None, None, [toy]), "cpu", [], [])
    sinks = Sinks(lambda text: happened.append(text and "written"), lambda _: None)
    rendering = Rendering(loaded, as_json=False, has_links=False)
    translate_stream(Noting(b"s\nt\nu\n"), read_prefixes(None, None), rendering, sinks)
    assert happened == ["read", "written"] * 3 + ["read"]


def test_a_long_text_is_translated_like_its_parts(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long").write_text(TEXT * 7)
    ask = ("translate", tmp_path / "long", "-m", toy)
    whole = output_of(*ask)
    monkeypatch.setattr("s2s_cli.commands.streaming.BATCHES_PER_BLOCK", 1)
    assert output_of(*ask, "--batch-size", 2) == whole
    listed = output_of(*ask, "--batch-size", 2, "--n-best", 2).splitlines()
    numbers = [int(line.split(" ||| ")[0]) for line in listed]
    assert numbers == sorted(numbers)
    assert {*numbers} == {*range(len(SOURCES) * 7)}


@pytest.mark.parametrize("context", ["attention", "initial"])
@pytest.mark.parametrize("n_best", [1, 3])
def test_every_line_of_json_has_the_same_fields(tmp_path: Path, context: str, n_best: int) -> None:
    toy = save_toy(tmp_path / "toy", context=context)
    text = "s t u\n\nv\n \n"
    ask = ("translate", "-m", toy, "--json", "--n-best", n_best)
    found = [json.loads(line) for line in output_of(*ask, stdin=text).split("\n")[:-1]]
    assert [line["source"] for line in found] == text.split("\n")[:-1]
    shared = ["translation", "score", "log_prob", "tokens", "attention"]
    for line in found:
        assert list(line) == ["source", "source_tokens", *shared, "alternatives"]
        assert line["source_tokens"] == [*line["source"].split(), "<eos>"]
        assert len(line["alternatives"]) == n_best - 1
        for candidate in (line, *line["alternatives"]):
            assert [key for key in candidate if key in shared] == shared
            assert candidate["log_prob"] <= 0
            if context == "initial":
                assert candidate["attention"] is None
            else:
                assert len(candidate["attention"]) == len(candidate["tokens"])
                for row in candidate["attention"]:
                    assert len(row) == len(line["source_tokens"])
                    assert sum(row) == pytest.approx(1, abs=0.001)


def test_every_line_has_the_same_number_of_candidates(tmp_path: Path) -> None:
    ask = ("translate", "-m", save_toy(tmp_path / "toy"), "--n-best", 3)
    lines = output_of(*ask, stdin="s t u\n\nv\n \n").split("\n")[:-1]
    assert [line.split(" ||| ")[0] for line in lines] == [*"000111222333"]
    assert lines[3:6] == ["1 |||  ||| 0.0000"] * 3
    # After a prefix of the maximum length, only the end marker can follow.
    prefix = " ".join("abcdef" * 20)
    lines = output_of(*ask, "--prefix", prefix, stdin="s\n").split("\n")[:-1]
    assert len(lines) == 3
    assert set(lines) == {lines[0]}
    assert prefix in lines[0]
