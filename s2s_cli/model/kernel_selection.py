"""Which kernel runs when. Training and decoding both call `select_kernels`; nothing else decides.

In training, with `training.kernels: fused`:

- `kernels.cross_entropy` computes the vocabulary layer, softmax and loss of every model.
- `kernels.attention_loop` replaces a decoder's loop over target positions, where attention is
  additive and precedes the step: Bahdanau's decoder with one layer, and the bottom layer of GNMT's,
  with one plain cell in a step (no transitions, no normalisation inside).

In decoding, with `decoding.kernels: fused`:

- `model.search_step` replaces `Seq2Seq.step` of Bahdanau's decoder with one layer, additive
  attention and one plain cell in a step.
- `kernels.packed_weights` prepares the matrices of `search_step`, and in all other models those of
  the decoder and the output layer. With `plain`, too, `decoding.precision` `bf16` and `int8` need
  it.

Kernels change results by rounding only. The training kernels run in forward passes with gradients;
validation and search run without gradients and so never use them.
"""

from typing import NamedTuple

from s2s_cli.config import Decoding, Training
from s2s_cli.errors import ConfigError
from s2s_cli.kernels.packed_weights import PackedWeight, Precision, pack
from s2s_cli.model.attention import AdditiveScorer
from s2s_cli.model.bahdanau import BahdanauDecoder
from s2s_cli.model.gnmt import GNMTDecoder
from s2s_cli.model.search_step import FusedStep
from s2s_cli.model.seq2seq import Decoder, Seq2Seq


class TrainingKernels(NamedTuple):
    """The kernels that a model trains with."""

    cross_entropy: bool = False
    attention_loop: bool = False


def select_kernels(model: Seq2Seq, config: Training | Decoding) -> Seq2Seq | FusedStep:
    """Select the kernels for a model on its device.

    Args:
        model: for decoding in evaluation mode; afterwards it can no longer be trained, moved,
            copied or prepared for another precision.
        config: kernels and precision of training or of decoding.

    Returns:
        For training the model itself, for decoding what a search must call.

    Raises:
        ConfigError: the device has no products of this precision.
    """
    if isinstance(config, Training):
        use_training_kernels(model, choose_training_kernels(model, config))
        return model
    device_type = model.tgt_table.device.type
    if config.precision == "int8" and device_type != "cpu":
        raise ConfigError(
            f"decoding.precision int8: 8-bit products are not available on {device_type}; choose "
            "bf16 or float32, or --device cpu"
        )
    if config.kernels == "fused" and has_search_step(model.decoder):
        return FusedStep(model, config.precision)
    if config.kernels == "fused" or config.precision != "float32":
        pack_matrices(model, config.precision)
    return model


def choose_training_kernels(model: Seq2Seq, config: Training) -> TrainingKernels:
    """The kernels that `training.kernels` and `training.precision` ask for, where they apply."""
    if config.kernels == "plain":
        return TrainingKernels()
    return TrainingKernels(
        cross_entropy=True,
        attention_loop=has_attention_loop(model.decoder),
    )


def use_training_kernels(model: Seq2Seq, kernels: TrainingKernels) -> None:
    """Switch each kernel on or off in all modules that have it."""
    model.output.is_fused = kernels.cross_entropy
    for module in model.modules():
        if isinstance(module, BahdanauDecoder | GNMTDecoder):
            module.is_fused = kernels.attention_loop and has_attention_loop(module)


def has_attention_loop(decoder: Decoder) -> bool:
    """Whether `kernels.attention_loop` computes a decoder's loop."""
    if isinstance(decoder, GNMTDecoder):
        return isinstance(decoder.attention.scorer, AdditiveScorer) and decoder.bottom.is_plain
    return has_search_step(decoder)


def has_search_step(decoder: Decoder) -> bool:
    """Whether `FusedStep` computes a decoder's step."""
    return (
        isinstance(decoder, BahdanauDecoder)
        and isinstance(decoder.attention.scorer, AdditiveScorer)
        and len(decoder.stack.layers) == 1
        and decoder.stack.bottom.is_plain
    )


def pack_matrices(model: Seq2Seq, precision: Precision) -> None:
    """Pack all matrices that a step multiplies with, in place; they stop being parameters."""
    used = [*model.decoder.modules(), *model.output.modules()]
    if model.is_tied:
        used += model.tgt_embedding.modules()
    for module in used:
        for name, weight in list(module.named_parameters(recurse=False)):
            packed = pack(weight, precision) if weight.dim() == 2 else weight
            if isinstance(packed, PackedWeight):
                delattr(module, name)
                setattr(module, name, packed)
