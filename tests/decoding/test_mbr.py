from typing import Any

import numpy as np
import pytest
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from test_translator import LINES, SRC, TGT, make_translator
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.decoding.ensemble import Ensemble
from s2s_cli.decoding.mbr import rank_by_utility
from s2s_cli.decoding.translator import Translator
from s2s_cli.scoring.utility import Matrix
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID


def mbr(**keys: object) -> Decoding:
    return Decoding.model_validate({"search": "mbr", "num_samples": 16, **keys})


def share_words(texts: list[str]) -> Matrix:
    """A utility: the share of places where two texts of three words have the same word."""
    words = np.array([text.split() for text in texts])
    return np.asarray((words[:, None] == words[None]).mean(-1))


def test_the_consensus_wins_over_the_mode() -> None:
    # "x x x" is the most frequent of ten samples: 0.4 * 1. The others share two of three words:
    # 0.3 * 1 + 0.3 * 2/3.
    samples = ["x x x", "a b d", "a b c", *["x x x"] * 3, *["a b c", "a b d"] * 2]
    found = rank_by_utility(samples, share_words)
    assert [place for place, _ in found] == [1, 2, 0]
    assert [utility for _, utility in found] == pytest.approx([0.5, 0.5, 0.4])


def test_a_sample_counts_as_often_as_it_was_drawn() -> None:
    def similar(texts: list[str]) -> Matrix:
        # a resembles the others more than they resemble each other: one vote each makes it best.
        table = {"a": [1.0, 0.6, 0.6], "b": [0.6, 1.0, 0.0], "c": [0.6, 0.0, 1.0]}
        return np.array([[table[one]["abc".index(other)] for other in texts] for one in texts])

    assert rank_by_utility(["a", "b", "c"], similar)[0] == (0, pytest.approx(2.2 / 3))
    # Eight votes for b: 0.8 + 0.1 * 0.6 against 0.1 + 0.9 * 0.6.
    assert rank_by_utility(["c", "a", *["b"] * 8], similar)[0] == (2, pytest.approx(0.86))


CHAIN = {
    BOS_ID: {"f": 0.4, "a": 0.6},
    "f": {EOS_ID: 1.0},
    "a": {"b": 1.0},
    "b": {"c": 0.5, "d": 0.5},
    "c": {EOS_ID: 1.0},
    "d": {EOS_ID: 1.0},
}
"""The next token by the last one: translations are f (0.4), a b c (0.3) and a b d (0.3)."""


class Chain:
    """A model that looks at the last token only."""

    training = False

    def __init__(self) -> None:
        def id_of(token: int | str) -> int:
            return token if isinstance(token, int) else TGT.vocabulary.encode([token])[0]

        self.log_probs = torch.full((len(TGT.vocabulary), len(TGT.vocabulary)), -torch.inf)
        for last, shares in CHAIN.items():
            for token, share in shares.items():
                self.log_probs[id_of(last), id_of(token)] = torch.tensor(share).log()

    def train(self, mode: bool) -> None:
        """Change nothing."""

    def encode(self, src: Tensor, _src_lengths: Tensor) -> tuple[tuple[Tensor, ...], Any]:
        return (torch.zeros(src.size(0), 1),), None

    def step(self, token: Tensor, state: Any, _memory: Any) -> tuple[Tensor, Any, None]:
        return self.log_probs[token], state, None

    def __call__(self, *_arguments: Tensor) -> Any:
        raise NotImplementedError


def test_where_beam_search_finds_the_mode_mbr_finds_the_consensus() -> None:
    translator = Translator(Chain(), SRC, TGT, torch.device("cpu"))
    (mode,) = translator.translate(["s"], Decoding(length_penalty=0))
    assert mode.text == "f"
    (drawn,) = translator.translate(["s"], Decoding(search="sample", n_best=200))
    texts = [candidate.text for candidate in drawn.candidates]
    count = {text: texts.count(text) for text in ("f", "a b c", "a b d")}
    assert sum(count.values()) == 200
    (found,) = translator.translate(["s"], mbr(num_samples=200, n_best=3))
    # The chrF of abc and abd: means of 2/3 of the letters, 1/2 of the pairs and 0 of the triples.
    alike = 7 / 18
    expected = {
        "f": count["f"] / 2,
        "a b c": (count["a b c"] + alike * count["a b d"]) / 2,
        "a b d": (count["a b d"] + alike * count["a b c"]) / 2,
    }
    assert {one.text: one.score for one in found.candidates} == pytest.approx(expected)
    assert found.text == max(expected, key=lambda text: expected[text]) != "f"
    # `log_prob` stays that of the model, whatever ranks the candidates.
    log_probs = {one.text: one.log_prob for one in found.candidates}
    assert log_probs == pytest.approx(
        {"f": np.log(0.4), "a b c": np.log(0.3), "a b d": np.log(0.3)}
    )


@pytest.mark.parametrize(
    ("utility", "metric"),
    [("chrf", CHRF()), ("bleu", BLEU(effective_order=True))],
    ids=["chrf", "bleu"],
)
@pytest.mark.parametrize("kind", ["attention", "initial"])
def test_the_best_sample_has_the_highest_mean_score_against_all_samples(
    utility: str, metric: CHRF | BLEU, kind: str
) -> None:
    translator = make_translator(kind)
    keys = {"seed": 4, "temperature": 0.6}
    all_samples = translator.translate(LINES, Decoding(search="sample", n_best=16, **keys))
    found = translator.translate(LINES, mbr(utility=utility, **keys))
    for drawn, chosen in zip(all_samples, found, strict=True):
        if not drawn.src_tokens:
            assert chosen == drawn._replace(candidates=drawn.candidates[:1])
            continue
        texts = [candidate.text for candidate in drawn.candidates]
        means = [np.mean([metric.sentence_score(h, [y]).score for y in texts]) for h in texts]
        assert chosen.candidates[0].score == pytest.approx(max(means))
        place = int(np.argmax(np.round(means, 6)))
        assert chosen.candidates == [
            drawn.candidates[place]._replace(score=chosen.candidates[0].score)
        ]


def test_the_choice_depends_on_the_seed_and_not_on_the_batch() -> None:
    translator = make_translator()
    together = translator.translate(LINES, mbr(n_best=3))
    for batch_size in (1, 3):
        apart = translator.translate(LINES, mbr(n_best=3, batch_size=batch_size))
        for one, other in zip(together, apart, strict=True):
            assert one.text == other.text
            assert [c.tokens for c in one.candidates] == [c.tokens for c in other.candidates]
            assert [c.score for c in one.candidates] == [c.score for c in other.candidates]
    others = translator.translate(LINES, mbr(n_best=3, seed=2))
    assert [each.text for each in together] != [each.text for each in others]


def test_the_n_best_are_different_texts_ranked_by_utility_and_start_with_the_prefix() -> None:
    (found,) = make_translator().translate(["s t u"], mbr(n_best=4), ["a unheard"])
    texts = [candidate.text for candidate in found.candidates]
    assert len(set(texts)) == len(texts) == 4
    assert all(text.startswith("a unheard") for text in texts)
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] < scores[0] < 100


def test_an_ensemble_of_a_model_with_itself_chooses_like_the_model() -> None:
    alone = make_translator()
    both = alone._replace(model=Ensemble([alone.model, alone.model]))
    for one, other in zip(alone.translate(LINES, mbr()), both.translate(LINES, mbr()), strict=True):
        assert (one.text, one.candidates[0].score) == (other.text, other.candidates[0].score)
