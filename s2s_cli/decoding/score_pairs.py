"""Log-probabilities of given translations."""

import math
from collections.abc import Sequence

import torch

from s2s_cli.data.batching import collate
from s2s_cli.decoding.predictor import evaluation_mode, forbid_markers
from s2s_cli.decoding.translator import Translator, batches_by_length


@torch.inference_mode()
def score_pairs(
    translator: Translator, src: Sequence[str], tgt: Sequence[str], batch_size: int
) -> list[tuple[float, int]]:
    """Score pairs of sentences. An unknown target token has the log-probability of `<unk>`.

    Args:
        translator: the model with its text tools.
        src: source sentences.
        tgt: a target for each source.
        batch_size: number of pairs scored at a time.

    Returns:
        For each pair, in input order, the log-probability of the target given the source, in nats,
        and the number of target tokens; both count eos, as `Hypothesis.log_prob` does.
    """
    pairs = [
        (
            translator.encode_src(translator.src.tokenizer.tokenize(source)),
            translator.tgt.encode(target),
        )
        for source, target in zip(src, tgt, strict=True)
    ]
    scores = [(0.0, 0)] * len(pairs)
    with evaluation_mode(translator.model):
        for indices in batches_by_length([max(len(s), len(t)) + 1 for s, t in pairs], batch_size):
            batch = collate([pairs[index] for index in indices]).to(translator.device)
            logits = translator.model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
            targets = batch.tgt_out[batch.tgt_mask].unsqueeze(1)
            normalizers = forbid_markers(logits).logsumexp(-1)
            log_probs = logits.gather(1, targets).squeeze(1) - normalizers
            lengths = batch.tgt_mask.sum(1).tolist()
            for index, tokens in zip(indices, log_probs.cpu().split(lengths), strict=True):
                scores[index] = tokens.double().sum().item(), len(tokens)
    return scores


def perplexity(scores: Sequence[tuple[float, int]]) -> float:
    """Exp of the mean negative log-probability of a token; infinity if it exceeds a float64.

    Args:
        scores: as `score_pairs` returns them.
    """
    log_prob = sum(log_prob for log_prob, _ in scores)
    num_tokens = sum(num_tokens for _, num_tokens in scores)
    try:
        return math.exp(-log_prob / num_tokens)
    except OverflowError:
        return math.inf
