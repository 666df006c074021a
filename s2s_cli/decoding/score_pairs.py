"""How likely a model finds translations that exist."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from s2s_cli.data.batching import collate
from s2s_cli.decoding.predictor import forbid_markers
from s2s_cli.decoding.translator import Translator, batches_by_length


class PairScore(NamedTuple):
    """What a model thinks of one pair."""

    log_prob: float
    """Of the target given the source, in nats; eos counted, as in `Hypothesis.log_prob`."""
    num_tokens: int
    """Of the target, eos counted."""

    @property
    def log_prob_per_token(self) -> float:
        """The mean over the target's tokens."""
        return self.log_prob / self.num_tokens


def perplexity(scores: Sequence[PairScore]) -> float:
    """Exp of the mean negative log-probability of a token; infinite where no float holds it."""
    mean = sum(score.log_prob for score in scores) / sum(score.num_tokens for score in scores)
    try:
        return math.exp(-mean)
    except OverflowError:
        return math.inf


@torch.inference_mode()
def score_pairs(
    translator: Translator, src: Sequence[str], tgt: Sequence[str], batch_size: int
) -> list[PairScore]:
    """Score pairs of sentences, in input order; an unknown target token costs what `<unk>` does.

    Args:
        translator: the model and its text tools.
        src: source sentences.
        tgt: as many targets.
        batch_size: pairs scored at a time.
    """
    model = translator.model
    was_training = model.training
    model.train(False)
    pairs = [
        (
            translator.encode_src(translator.src.tokenizer.tokenize(source)),
            translator.tgt.encode(target),
        )
        for source, target in zip(src, tgt, strict=True)
    ]
    scores = [PairScore(0.0, 0)] * len(pairs)
    for indices in batches_by_length([max(len(s), len(t)) + 1 for s, t in pairs], batch_size):
        batch = collate([pairs[index] for index in indices]).to(translator.device)
        logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
        targets = batch.tgt_out[batch.tgt_mask].unsqueeze(1)
        normalizers = forbid_markers(logits).logsumexp(-1)
        log_probs = logits.gather(1, targets).squeeze(1) - normalizers
        lengths = batch.tgt_mask.sum(1).tolist()
        for index, tokens in zip(indices, log_probs.cpu().split(lengths), strict=True):
            scores[index] = PairScore(tokens.double().sum().item(), len(tokens))
    model.train(was_training)
    return scores
