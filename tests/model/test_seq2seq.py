import math

import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_config, make_model
from torch import Tensor

from s2s_cli.data.batching import collate
from s2s_cli.errors import ConfigError
from s2s_cli.model.layers import SequenceDropout, select_rows
from s2s_cli.model.seq2seq import Seq2Seq

PAIRS = [([4, 5, 6], [4, 5, 6, 7]), ([7], [8]), ([9, 4, 8, 5, 6], [9, 5])]

every_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=describe_kind)


def logits_of(model: Seq2Seq, pairs: list[tuple[list[int], list[int]]]) -> Tensor:
    batch = collate(pairs)
    return model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)


@every_kind
def test_padding_changes_nothing(kind: dict[str, object]) -> None:
    model = make_model(kind)
    together = logits_of(model, PAIRS)
    alone = torch.cat([logits_of(model, [pair]) for pair in PAIRS])
    torch.testing.assert_close(together, alone)
    assert together.shape[0] == 5 + 2 + 3


@every_kind
def test_stepping_equals_running_the_whole_sequence(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate(PAIRS)
    expected = model(batch.src, batch.src_lengths, batch.tgt_in, torch.ones_like(batch.tgt_mask))
    state, memory = model.encode(batch.src, batch.src_lengths)
    steps = []
    for token in batch.tgt_in.unbind(1):
        logits, state, weights = model.step(token, state, memory)
        assert (weights is None) == (kind.get("context", "attention") != "attention")
        steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, 1).flatten(0, 1), expected)


@every_kind
def test_sampling_with_everything_forced_equals_teacher_forcing(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate(PAIRS)
    forced = torch.ones_like(batch.tgt_mask)
    sampled = model.project(
        model.compute_sampled_readouts(
            batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask, forced
        )
    )
    torch.testing.assert_close(sampled, logits_of(model, PAIRS))


@every_kind
def test_sampling_with_nothing_forced_feeds_the_models_predictions(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate([PAIRS[0]])
    free = torch.zeros_like(batch.tgt_mask)
    logits = model.project(
        model.compute_sampled_readouts(
            batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask, free
        )
    )
    state, memory = model.encode(batch.src, batch.src_lengths)
    token = batch.tgt_in[:, 0]
    for row in logits:
        expected, state, _ = model.step(token, state, memory)
        torch.testing.assert_close(row, expected[0])
        expected[:, [1, 2]] = -torch.inf  # never predicted
        token = expected.argmax(-1)


def test_sampling_never_feeds_padding_or_bos() -> None:
    model = make_model({"context": "initial"})
    with torch.no_grad():
        model.output.projection.bias[[1, 2]] = 1e3  # padding and bos
        model.output.projection.bias[7] = 1e2
    batch = collate([PAIRS[0]])
    free = torch.zeros_like(batch.tgt_mask)
    found = model.project(
        model.compute_sampled_readouts(
            batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask, free
        )
    )
    fed = collate([(PAIRS[0][0], [7] * (len(PAIRS[0][1])))])
    expected = model(fed.src, fed.src_lengths, fed.tgt_in, fed.tgt_mask)
    torch.testing.assert_close(found, expected)


@every_kind
def test_the_rows_of_a_beam_do_not_mix(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate(PAIRS[:2])
    state, memory = model.encode(batch.src, batch.src_lengths)
    rows = torch.tensor([0, 0, 1, 1])
    tokens = torch.tensor([4, 5, 6, 7])
    logits, _, _ = model.step(tokens, select_rows(state, rows), memory)
    for row, (sentence, token) in enumerate(zip(rows.tolist(), tokens, strict=True)):
        alone = collate([PAIRS[sentence]])
        first, own_memory = model.encode(alone.src, alone.src_lengths)
        expected, _, _ = model.step(token.view(1), first, own_memory)
        torch.testing.assert_close(logits[row], expected[0])


@every_kind
def test_every_weight_but_paddings_gets_a_gradient(kind: dict[str, object]) -> None:
    model = make_model(kind).train()
    # Many pairs, so that dropout does not drop a word in all of them.
    pairs = [([*range(4, 12)], [*range(4, 10)])] * 20
    logits_of(model, pairs).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    if kind.get("tied", "none") == "none":  # if tied, padding is also a row of the output layer
        assert not model.tgt_embedding.table.weight.grad[1].any()


def test_a_uniform_guess_costs_log_vocab() -> None:
    model = make_model({"context": "attention"}, scale=0.0)
    log_probs = logits_of(model, PAIRS).log_softmax(-1)
    torch.testing.assert_close(log_probs, torch.full_like(log_probs, -math.log(10)))


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (make_model({"context": "attention"}).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_tied_output_uses_the_embeddings_and_saves_them_once() -> None:
    tied = make_model({"tied": "output", "readout": "tanh"})
    free = make_model({"readout": "tanh"})
    weights = tied.state_dict()
    weights["output.projection.weight"] = weights["tgt_embedding.table.weight"]
    free.load_state_dict(weights)
    torch.testing.assert_close(logits_of(tied, PAIRS), logits_of(free, PAIRS))
    assert tied.num_parameters() == free.num_parameters() - 10 * 5


def test_one_table_serves_both_sides() -> None:
    model = make_model({"tied": "all", "readout": "tanh"})
    tables = [name for name in model.state_dict() if "table" in name]
    assert tables == ["tgt_embedding.table.weight"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"tied": "output", "readout": "linear"}, "the readout linear is 17; .* tanh or maxout"),
        ({"tied": "output", "context": "initial"}, "the embeddings are 5 wide, .* linear is 6"),
    ],
)
def test_a_readout_of_another_width_cannot_be_tied(kind: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_model(kind)


def test_tying_all_needs_one_vocabulary() -> None:
    with pytest.raises(ConfigError, match="needs one vocabulary"):
        Seq2Seq(make_config({"tied": "all", "readout": "tanh"}), 12, 10, 1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"input_feeding": True}, "input_feeding requires context attention and attend after"),
        ({"context": "initial", "decoder_start": "zero"}, "sees nothing of the source"),
        ({"attend": "below"}, "requires a decoder of at least two layers"),
        ({"encoder": {"num_layers": 2}}, "decoder_start last: the encoder has 2 layers of 6"),
        ({"encoder": {"hidden_size": 8}, "decoder_start": "mean"}, "decoder_start mean"),
        ({"encoder": {"hidden_size": 7}}, "requires an even hidden_size, not 7"),
        ({"tied": "all", "encoder": {"embed_size": 7}}, "tied all: the embedding sizes"),
        ({"tied": "all", "src_vectors": "x.vec"}, "name its vectors in tgt_vectors"),
    ],
)
def test_incompatible_settings_are_refused(kind: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_config(kind)


def test_word_dropout_zeroes_whole_words() -> None:
    model = make_model({"word_dropout": 0.5, "embed_dropout": 0.0}).train()
    embedded = model.tgt_embedding(torch.full((1, 400), 5))[0]
    zeroed = (embedded == 0).all(-1)
    assert 120 < int(zeroed.sum()) < 280
    assert (embedded[~zeroed] == 2 * model.tgt_embedding.table.weight[5]).all()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"word_dropout": 0.5}, (0.5, 0.5)),
        ({"word_dropout": 0.5, "tgt_word_dropout": 0.0}, (0.5, 0.0)),
        ({"src_word_dropout": 0.5}, (0.5, 0.0)),
    ],
    ids=str,
)
def test_each_side_may_have_its_own_word_dropout(
    keys: dict[str, float], expected: tuple[float, float]
) -> None:
    model = make_model({**keys, "embed_dropout": 0.0}).train()
    for embedding, probability in zip(
        (model.src_embedding, model.tgt_embedding), expected, strict=True
    ):
        embedded = embedding(torch.full((1, 400), 5))[0]
        dropped = (embedded == 0).all(-1).double().mean().item()
        assert dropped == pytest.approx(probability, abs=0.1 if probability else 0)


def test_variational_dropout_drops_the_same_units_at_all_positions_of_a_sentence() -> None:
    dropout = SequenceDropout(0.5, is_variational=True).train()
    dropped = dropout(torch.ones(3, 7, 50))
    assert (dropped == dropped[:, :1]).all()
    assert not (dropped[0] == dropped[1]).all()
    rows = torch.tensor([0, 1, 1, 0, 2])
    flat = dropout(torch.ones(5, 50), rows)
    assert (flat[0] == flat[3]).all()
    assert (flat[1] == flat[2]).all()
    assert not (flat[0] == flat[1]).all()
    assert (SequenceDropout(0.5, is_variational=True).eval()(torch.ones(2, 3, 4)) == 1).all()


@pytest.mark.parametrize("kind", [{"context": "initial"}, {"attend": "below"}])
def test_variational_masks_hold_over_all_steps(kind: dict[str, object]) -> None:
    model = make_model({"variational": True, "dropout": 0.4, "num_layers": 3, **kind}).train()
    decoder = model.decoder
    masks = decoder.stack.draw_masks(1)
    assert len(masks) == 2
    batch = collate([([5, 6], [4] * 6)])
    state, memory = model.encode(batch.src, batch.src_lengths)
    word = torch.ones(1, 5)
    first, again = (decoder.step(word, state, memory, masks).features for _ in range(2))
    assert torch.equal(first, again)
    others = [decoder.step(word, state, memory, decoder.stack.draw_masks(1)) for _ in range(8)]
    assert any(not torch.equal(first, other.features) for other in others)


def test_a_words_mask_holds_over_all_steps() -> None:
    embedding = make_model({"variational": True, "dropout": 0.5}).train().tgt_embedding
    token = torch.tensor([4, 5])
    mask = embedding.draw_mask(token)
    first, again = (embedding.embed_step(token, mask) for _ in range(2))
    assert torch.equal(first, again)
    assert (first == 0).any()
    plain = make_model({"dropout": 0.5}).train().tgt_embedding
    assert plain.draw_mask(token) is None


def test_residual_layers_of_a_decoder_add_their_inputs() -> None:
    """With a top layer whose outputs are zero, the outputs are those of the bottom layer."""
    for kind in ({"context": "initial"}, {"attend": "below"}):
        deep = make_model({"num_layers": 2, "residual": True, **kind})
        plain = make_model({"num_layers": 2, "residual": False, **kind})
        batch = collate(PAIRS)
        state, memory = deep.encode(batch.src, batch.src_lengths)
        upper = deep.decoder.stack.layers[-1]
        word = torch.ones(3, 5)
        for parameter in upper.parameters():
            torch.nn.init.zeros_(parameter)
        plain.load_state_dict(deep.state_dict())
        zeroed = (state[0].clone(),)
        zeroed[0][:, -1] = 0
        with_inputs = deep.decoder.step(word, zeroed, memory).features
        without = plain.decoder.step(word, zeroed, memory).features
        assert not without.any()
        assert with_inputs.any()
