"""Lines of text to translated lines, in input order."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from s2s_cli.config import Decoding
from s2s_cli.data.batch import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.hypothesis import Hypothesis
from s2s_cli.decoding.sampling import sample
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.codec import Codec
from s2s_cli.text.vocabulary import MARKERS, UNK_ID

SEARCHES = {"beam": beam_search, "sample": sample}

TOKENS_PER_SENTENCE = 50
"""A batch holds at most this many source tokens, padding included, per `batch_size`."""


class Candidate(NamedTuple):
    """One translation of a line."""

    text: str
    tokens: list[str]
    score: float
    """Log-probability over length penalty; 0.0 for a blank line."""
    log_prob: float
    weights: list[list[float]] | None
    """For each target token its attention over the source tokens and their eos."""
    is_complete: bool


class Translation(NamedTuple):
    """A line and its translations, best first."""

    source: str
    src_tokens: list[str]
    candidates: list[Candidate]

    @property
    def text(self) -> str:
        """The best translation."""
        return self.candidates[0].text


class Translator(NamedTuple):
    """A model with the text tools that belong to it."""

    model: Seq2Seq
    src: Codec
    tgt: Codec
    device: torch.device

    def translate(self, lines: Sequence[str], config: Decoding) -> list[Translation]:
        """Translate lines; a blank line becomes an empty one without asking the model."""
        search = SEARCHES[config.search]
        was_training = self.model.training
        self.model.eval()
        tokens = [self.src.tokenizer.tokenize(line) for line in lines]
        results: list[list[Hypothesis]] = [[] for _ in lines]
        for batch in _batches_by_length([len(sentence) for sentence in tokens], config.batch_size):
            encoded = [self.src.vocabulary.encode(tokens[i]) for i in batch]
            src, src_lengths = collate_src(encoded)
            found = search(self.model, src.to(self.device), src_lengths, config)
            for i, hypotheses in zip(batch, found, strict=True):
                results[i] = hypotheses
        self.model.train(was_training)
        return [
            Translation(line, sentence, self._candidates(sentence, found, config.keep_unk))
            for line, sentence, found in zip(lines, tokens, results, strict=True)
        ]

    def _candidates(
        self, src_tokens: list[str], found: list[Hypothesis], keep_unk: bool
    ) -> list[Candidate]:
        if not found:
            return [Candidate("", [], 0.0, 0.0, None, True)]
        candidates = []
        for hypothesis in found:
            tokens = self._tokens_of(hypothesis, src_tokens, keep_unk)
            weights = None
            if hypothesis.weights is not None:
                length = len(src_tokens) + 1  # the source's eos
                weights = hypothesis.weights[: len(tokens), :length].tolist()
            candidates.append(
                Candidate(
                    self.tgt.tokenizer.detokenize(tokens),
                    tokens,
                    hypothesis.score,
                    hypothesis.log_prob,
                    weights,
                    hypothesis.is_complete,
                )
            )
        return candidates

    def _tokens_of(
        self, hypothesis: Hypothesis, src_tokens: list[str], keep_unk: bool
    ) -> list[str]:
        """Target tokens; where the model says unknown, the source word it looked at most."""
        tokens = self.tgt.vocabulary.decode(hypothesis.token_ids)
        if keep_unk or hypothesis.weights is None:
            return tokens
        looked_at = hypothesis.weights[:, : len(src_tokens)].argmax(dim=1).tolist()
        unk = MARKERS[UNK_ID]
        return [
            src_tokens[looked_at[i]] if token == unk else token for i, token in enumerate(tokens)
        ]


def _batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices of the sentences that have tokens, of like length together, longest first."""
    order = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i])
    batch: list[int] = []
    for i in order:
        longest = lengths[batch[0]] if batch else lengths[i]
        is_full = (len(batch) + 1) * longest > batch_size * TOKENS_PER_SENTENCE
        if batch and (len(batch) == batch_size or is_full):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
