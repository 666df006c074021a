"""Every knob, on one page.

A recipe (a YAML file) mirrors these sections; `--set section.key=value` overrides any key. Each
section is passed whole to the room it is named after. Values are frozen: a recipe is never changed
while it runs.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from s2s_cli.section import FilePath, Language, Layers, Probability, Section, Size, Width
from s2s_cli.sources import (
    SEVERAL_LANGUAGES,
    Direction,
    DirectionName,
    EmbeddedPhrasebook,
    HeldOutSplit,
    OnBadUtf8,
    OptionalSplit,
    Split,
    parse_directions,
    sources_of,
    targets_of,
)

TokenizerName = Literal["auto", "jieba", "moses", "char", "space", "none"]
SubwordKind = Literal["none", "bpe", "unigram"]


class Data(Section):
    """Where the parallel text is."""

    src_lang: Language = "zh"
    """Source language, as an ISO 639 code: chooses the tokeniser."""
    tgt_lang: Language = "en"
    """Target language: chooses tokeniser, detokeniser and the BLEU tokeniser."""
    directions: Annotated[tuple[DirectionName, ...], Field(strict=False)] = ()
    """Several directions in one model, such as `[de-en, fr-en]`, instead of the two keys above:
    each source begins with a tag of its target language; `{src}` and `{tgt}` in names of files
    and columns stand for the languages."""
    folder: str = "."
    """Folder against which the file names below are read."""
    train: Split = EmbeddedPhrasebook(phrasebook="train")
    """Pairs to learn from: `{src: FILE, tgt: FILE}`, `{file: TABLE, src: COLUMN, tgt: COLUMN}`,
    `{phrasebook: train}`, or a list of such sources."""
    valid: HeldOutSplit = EmbeddedPhrasebook(phrasebook="valid")
    """Pairs that choose the checkpoint; a number holds out that share of the training pairs."""
    test: OptionalSplit = EmbeddedPhrasebook(phrasebook="test")
    """Pairs that `s2s eval` reports on; a number holds out that share of the training pairs."""
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seeds which pairs a held-out share takes; the same whatever `training.seed` is."""
    max_length: Size = 100
    """Longer training and validation pairs, in tokens, are left out, counted and reported."""
    on_bad_utf8: OnBadUtf8 = "error"
    """What a training pair with bytes that are not UTF-8 is: `error`, or left out and counted by
    `skip`; in valid and test it is an error in any case."""

    @property
    def all_directions(self) -> tuple[Direction, ...]:
        """What is translated into what; one direction unless the recipe names more."""
        return parse_directions(self.directions) or (Direction(self.src_lang, self.tgt_lang),)

    @property
    def languages(self) -> Direction:
        """The only direction, or `SEVERAL_LANGUAGES` on both sides."""
        only, *others = self.all_directions
        return Direction(SEVERAL_LANGUAGES, SEVERAL_LANGUAGES) if others else only

    @field_validator("directions")
    @classmethod
    def _directions_differ(cls, directions: tuple[str, ...]) -> tuple[str, ...]:
        for name in directions:
            if directions.count(name) > 1:
                raise ValueError(f"names {name} twice; name each direction once")
        return directions

    @model_validator(mode="after")
    def _one_reference_trains_and_weights_are_for_training(self) -> Self:
        for source in sources_of(self.train):
            if not isinstance(source, EmbeddedPhrasebook) and len(targets_of(source)) > 1:
                raise ValueError(
                    "train names several targets for one source; name one (several references "
                    "are for valid and test)"
                )
        for name, split in (("valid", self.valid), ("test", self.test)):
            sources = () if split is None or isinstance(split, float) else sources_of(split)
            if any(source.weight != 1 for source in sources):
                raise ValueError(f"{name} has a weight; only sources of train are weighted")
        return self


class Text(Section):
    """How a sentence becomes tokens, and tokens a sentence."""

    src_tokenizer: TokenizerName = "auto"
    """`jieba`, `moses`, `char`, `space`; `none`: all to the subwords; `auto`: by language."""
    tgt_tokenizer: TokenizerName = "auto"
    """The same for the target side."""
    normalize: Literal["nfc", "nfkc", "none"] = "nfc"
    """Unicode normalisation of both sides: `nfc` composes accents, `nfkc` also replaces
    compatibility characters such as full-width letters, `none` keeps code points as they are."""
    chinese: Literal["keep", "simplified", "traditional"] = "keep"
    """Script that Chinese text is converted to, by OpenCC (`pip install "s2s-cli[zh]"`)."""
    lowercase: bool = False
    """Lower-case both sides; scores are then case-insensitive, and their signature says so."""
    src_subword: SubwordKind = "none"
    """Cut the tokeniser's words further, by sentencepiece: `bpe` or `unigram`; `none` does not."""
    tgt_subword: SubwordKind = "none"
    """The same for the target side."""
    subword_sampling: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Other pieces each epoch: the share of merges `bpe` drops, `unigram`'s alpha; 0 is off."""
    tgt_subword_sampling: Annotated[float, Field(ge=0, le=1)] | None = None
    """The same on the target side alone, if it differs."""

    @property
    def sampling(self) -> tuple[float, float]:
        """How much is sampled on each side, source and target."""
        tgt = self.tgt_subword_sampling
        return self.subword_sampling, self.subword_sampling if tgt is None else tgt

    @model_validator(mode="after")
    def _subwords_where_needed(self) -> Self:
        for side, tokenizer, subword in (
            ("src", self.src_tokenizer, self.src_subword),
            ("tgt", self.tgt_tokenizer, self.tgt_subword),
        ):
            if tokenizer == "none" and subword == "none":
                raise ValueError(
                    f"{side}_tokenizer none leaves sentences whole and needs a {side}_subword, "
                    "bpe or unigram; space splits at spaces"
                )
        if self.subword_sampling and self.src_subword == self.tgt_subword == "none":
            raise ValueError(
                f"subword_sampling {self.subword_sampling:g} needs a src_subword or tgt_subword, "
                "bpe or unigram"
            )
        if self.tgt_subword_sampling and self.tgt_subword == "none":
            raise ValueError(
                f"tgt_subword_sampling {self.tgt_subword_sampling:g} needs a tgt_subword, "
                "bpe or unigram"
            )
        return self


class Vocab(Section):
    """Which tokens the model knows."""

    max_size: Annotated[int, Field(ge=5)] = 10_000
    """Most entries a side, the four markers `<unk> <pad> <sos> <eos>` included."""
    min_freq: Size = 2
    """Words seen less often in the training text are unknown; subwords are all kept."""
    shared: bool = False
    """One vocabulary, and one set of subwords, for both sides, from the text of both."""
    character_coverage: Annotated[float, Field(ge=0.98, le=1)] | None = None
    """Share of running characters that get a subword; null: 0.9995 for zh, ja and ko, else 1."""


class Sizes(Section):
    """Sizes of one side, where they differ from the model's."""

    embed_size: Width | None = None
    """Width of this side's embeddings."""
    hidden_size: Annotated[Width, Field(ge=2)] | None = None
    """Width of this side's recurrent states."""
    num_layers: Layers | None = None
    """Recurrent layers of this side."""


class Model(Section):
    """The encoder-decoder."""

    cell: Literal["rnn", "gru", "lstm"] = "gru"
    """Recurrent cell of both sides; `rnn` is the plain one with tanh."""
    embed_size: Width = 256
    """Width of the source and target embeddings."""
    hidden_size: Annotated[Width, Field(ge=2)] = 512
    """Width of a recurrent state; a bidirectional encoder gives half of it to each direction."""
    num_layers: Layers = 1
    """Recurrent layers of the encoder, and of the decoder."""
    encoder: Sizes = Sizes()
    """Sizes of the encoder that differ: `{embed_size, hidden_size, num_layers}`."""
    decoder: Sizes = Sizes()
    """The same for the decoder."""
    bidirectional: bool = True
    """Read the source in both directions."""
    reverse_source: bool = False
    """Read the source from its last word to its first (Sutskever et al. 2014)."""
    residual: bool = False
    """From the second layer on, add a layer's input to its output (Wu et al. 2016)."""
    layer_norm: bool = False
    """Normalise what every layer hands on (Ba et al. 2016 normalise inside the cell as well)."""
    context: Literal["initial", "every_step", "attention"] = "attention"
    """What the decoder sees of the source: its summary at the start, or at each step, or all."""
    attention: Literal["additive", "general", "dot", "scaled_dot"] = "additive"
    """How relevance is scored: by Bahdanau et al. 2014, or as in Luong et al. 2015."""
    attention_size: Width = 512
    """Width of the hidden layer of the additive scorer."""
    attend: Literal["before", "after", "below"] = "before"
    """`before` each step (Bahdanau), `after` it (Luong), or `below`: by the bottom layer (GNMT)."""
    input_feeding: bool = False
    """Feed what was attended `after` one step into the next (Luong et al. 2015)."""
    decoder_start: Literal["last", "mean", "zero", "dense"] = "last"
    """First decoder state: the encoder's last, its mean output, zeros, or a trained projection."""
    readout: Literal["auto", "linear", "tanh", "maxout"] = "auto"
    """Layer before the vocabulary; `auto`: maxout with a context, linear where no paper has one."""
    tied: Literal["none", "output", "all"] = "none"
    """Share the target embeddings with the output layer, or with the source side's as well."""
    src_vectors: FilePath | None = None
    """Pretrained source embeddings to begin with, in word2vec's or fastText's text format, from
    `data.folder`."""
    tgt_vectors: FilePath | None = None
    """The same for the target side."""
    dropout: Probability = 0.3
    """Share of units dropped on embeddings, between layers, and before the output layer."""
    embed_dropout: Probability | None = None
    """The same on embeddings alone, if it differs."""
    output_dropout: Probability | None = None
    """The same before the output layer alone, if it differs."""
    word_dropout: Probability = 0.0
    """Share of words whose whole embedding is dropped, each place in a sentence by itself."""
    variational: bool = False
    """Drop the same units all along a sentence (as Gal and Ghahramani 2016 do, but for the
    recurrent connections, which are never dropped)."""

    @property
    def encoder_sizes(self) -> "ResolvedSizes":
        """The encoder's sizes."""
        return self._resolve(self.encoder)

    @property
    def decoder_sizes(self) -> "ResolvedSizes":
        """The decoder's sizes."""
        return self._resolve(self.decoder)

    def _resolve(self, own: Sizes) -> "ResolvedSizes":
        return ResolvedSizes(
            own.embed_size or self.embed_size,
            own.hidden_size or self.hidden_size,
            own.num_layers or self.num_layers,
        )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in find_misfits(self):
            raise ValueError(problem)
        return self


class ResolvedSizes(NamedTuple):
    """Sizes of one side."""

    embed: int
    hidden: int
    layers: int


def find_misfits(model: Model) -> Iterator[str]:
    """What in a model cannot go together, and what would."""
    src, tgt = model.encoder_sizes, model.decoder_sizes
    if model.bidirectional and src.hidden % 2:
        yield f"a bidirectional encoder needs an even hidden_size, not {src.hidden}"
    if model.decoder_start == "last" and src[1:] != tgt[1:]:
        yield (
            f"decoder_start last: the encoder has {src.layers} layers of {src.hidden}, the decoder "
            f"{tgt.layers} of {tgt.hidden}; make them alike, or start with dense, mean or zero"
        )
    if model.decoder_start == "mean" and src.hidden != tgt.hidden:
        yield (
            f"decoder_start mean: the encoder is {src.hidden} wide, the decoder {tgt.hidden}; "
            "make them alike, or start with dense or zero"
        )
    if model.context == "initial" and model.decoder_start == "zero":
        yield "decoder_start zero: with context initial the decoder would see nothing of the source"
    if model.input_feeding and (model.context, model.attend) != ("attention", "after"):
        yield "input_feeding needs context attention and attend after: it feeds what was attended"
    if model.context == "attention" and model.attend == "below" and tgt.layers < 2:
        yield "attend below: needs a decoder of at least two layers; the bottom one attends"
    if (
        model.context == "attention"
        and model.attention in {"dot", "scaled_dot"}
        and src.hidden != tgt.hidden
    ):
        yield (
            f"attention {model.attention}: multiplies decoder states ({tgt.hidden}) with encoder "
            f"outputs ({src.hidden}); make them alike, or use general or additive"
        )
    if model.tied == "all" and src.embed != tgt.embed:
        yield f"tied all: one table cannot be {src.embed} and {tgt.embed} wide; make them alike"
    if model.src_vectors and model.tied == "all":
        yield "tied all: both sides share one table; give its vectors as tgt_vectors"


class Training(Section):
    """Fitting the model."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seeds weights, dropout, teacher forcing and the order of data: same seed, same bytes."""
    init_from: FilePath | None = None
    """Fine-tuning: folder of the model whose weights and vocabularies training begins with, from
    the folder where `s2s` runs."""
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the first GPU, else the CPU."""
    precision: Literal["float32", "tf32", "bf16", "fp16"] = "float32"
    """`bf16` multiplies matrices in bfloat16, and keeps weights, sums and losses in float32; so
    does `fp16` in float16, with a scaled loss, for GPUs that have no bfloat16; `tf32`, on NVIDIA's
    GPUs, rounds what is multiplied to 10 bits."""
    kernels: Literal["fused", "plain"] = "fused"
    """`fused` uses hand-written backward passes for the most expensive operations; `plain` uses
    autograd alone: slower, and the same up to rounding."""
    epochs: Size = 10
    """Most passes over the training pairs."""
    batch_size: Size = 64
    """Size of a batch, in what `batch_by` counts."""
    batch_by: Literal["sentences", "tokens"] = "sentences"
    """A batch has so many pairs, or so many tokens of the longer side, padding included."""
    accumulate: Size = 1
    """Batches whose gradients are added up in one update."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adadelta"] = "adam"
    """How gradients become updates, as PyTorch has it."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Pull of every weight towards zero (decoupled from the gradient only in `adamw`)."""
    momentum: Probability = 0.0
    """Share of the former update that `sgd` and `rmsprop` keep."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Step size of the optimizer, at its height; null: 1 for `sgd` and `adadelta`, else 0.001."""
    schedule: Literal["constant", "exponential", "step", "plateau", "inverse_sqrt"] = "constant"
    """How the learning rate goes down; the next keys say when and how far."""
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the schedules `exponential`, `step` and `plateau`."""
    decay_after: Size = 1
    """`exponential`: epochs at the full rate; each later epoch has the factor once more."""
    decay_every: Size = 1
    """`step`: epochs from one factor to the next."""
    decay_patience: Annotated[int, Field(ge=0)] = 0
    """`plateau`: validations in a row that may miss the best before the factor is applied."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Updates over which the rate climbs from zero; `inverse_sqrt` falls from there on."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this global norm when they exceed it."""
    label_smoothing: Probability = 0.0
    """Probability mass spread evenly over the vocabulary in the training loss."""
    teacher_forcing: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Chance that a decoder input is the reference token rather than the model's own choice."""
    teacher_forcing_schedule: Literal["constant", "linear", "exponential", "inverse_sigmoid"] = (
        "constant"
    )
    """How that chance falls, update by update (scheduled sampling, Bengio et al. 2015)."""
    teacher_forcing_steps: Size = 10_000
    """Updates it takes: to the minimum, to 1/e of the start, or k of k / (k + exp(i / k))."""
    teacher_forcing_min: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Where the fall ends."""
    best_by: Literal["bleu", "chrf", "perplexity", "accuracy"] = "bleu"
    """Measure on the validation pairs that chooses the model; `accuracy` is of single tokens. Where
    BLEU says little (labels, no reference of four tokens, fewer than 100 sentences), `accuracy` or
    `perplexity` replaces it, and epochs with a BLEU below 1 rank by loss."""
    patience: Size = 5
    """Validations without a better score (or an equal one at lower loss) before training stops."""
    average: Size = 1
    """Epochs whose weights are averaged at the end; kept if better on the validation pairs."""
    average_of: Literal["last", "best"] = "best"
    """Which epochs those are."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of a moving average of the weights, which is then what is validated and kept."""
    max_skipped: Annotated[int, Field(ge=0)] = 10
    """Most updates of an epoch that are left out because their loss or gradient is not finite; one
    more ends the training, and its pairs are named. Gradients that only float16 cannot hold are
    told, not counted."""
    save_every: Size = 500
    """Updates between two saved training states; each epoch's end is saved as well."""
    log_every: Annotated[int, Field(ge=0)] = 0
    """Updates between two lines of progress in the run's `train.jsonl`, which always gets a line
    for each validation; 0 writes none between."""

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate at its height."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1.0 if self.optimizer in {"sgd", "adadelta"} else 1e-3

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in find_conflicts(self):
            raise ValueError(problem)
        return self


def find_conflicts(training: Training) -> Iterator[str]:
    """What in a training contradicts itself, and what would not."""
    decays = {"exponential", "step", "plateau"}
    if training.learning_rate_decay < 1 and training.schedule not in decays:
        yield (
            f"learning_rate_decay {training.learning_rate_decay}: schedule {training.schedule} "
            f"does not use it; choose schedule exponential, step or plateau"
        )
    if training.learning_rate_decay == 1 and training.schedule in decays:
        yield f"schedule {training.schedule}: needs a learning_rate_decay below 1"
    if training.schedule == "inverse_sqrt" and not training.warmup_steps:
        yield "schedule inverse_sqrt: needs warmup_steps, from which the rate falls"
    if training.teacher_forcing_min > training.teacher_forcing:
        yield "teacher_forcing_min: is above teacher_forcing, from which the chance falls"
    if training.momentum and training.optimizer not in {"sgd", "rmsprop"}:
        yield f"momentum: {training.optimizer} has none of its own; leave it out, or choose sgd"


HYPOTHESES_AT_A_TIME = 320
"""Rows of a decoder's step: enough for matrix products to be fast, on a CPU."""


class Decoding(Section):
    """Searching for a translation."""

    search: Literal["beam", "sample"] = "beam"
    """Search for the likeliest translations, or draw some from the model's distribution."""
    beam_size: Size = 5
    """Hypotheses that beam search keeps per sentence; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0)] = 1.0
    """Alpha, the power of the length penalty; 0 compares plain sums."""
    length_penalty_kind: Literal["gnmt", "length"] = "gnmt"
    """Sums are divided by ((5 + length) / 6) ** alpha (GNMT), or by length ** alpha."""
    coverage_penalty: Annotated[float, Field(ge=0)] = 0.0
    """Beta of GNMT's coverage penalty on source words that got little attention; 0 is none."""
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    """No run of so many tokens comes twice in a translation; 0 lets all repeat."""
    min_length_factor: Annotated[float, Field(ge=0)] = 0.0
    """A translation has at least this many tokens per source token, rounded down."""
    max_length_factor: Annotated[float, Field(gt=0)] = 2.0
    """A translation has at most this many tokens per source token, plus ten."""
    max_source_length: Size = 1000
    """Tokens of a source sentence that are read; of a longer one the rest is left out, and it is
    said of how many lines."""
    n_best: Size = 1
    """Translations per sentence: the best first, at most `beam_size`; or so many samples."""
    temperature: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    """Sampling divides the logits by this: below 1 it dares less, above 1 more."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sampling draws among so many likeliest tokens; 0 is all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sampling draws among the fewest likeliest tokens that have this probability together."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seeds sampling: same seed and same sentence, same samples, whatever the batch."""
    batch_size: Size | None = None
    """Sentences translated at a time; null: as many as keep 320 hypotheses, so 64 by beams of 5."""
    precision: Literal["float32", "bf16", "int8"] = "float32"
    """Of the products of a search's steps: `bf16` is faster, `int8` still faster, on CPUs only.
    Sums, the reading of the source and `--score-pairs` stay float32."""
    kernels: Literal["fused", "plain"] = "fused"
    """`fused` searches with joined and reordered matrices and a table of words, where the model
    allows it; `plain` steps as in training: slower, and the same up to rounding."""
    keep_unk: bool = False
    """Leave `<unk>` in the output instead of the source word that got the most attention."""
    dictionary: FilePath | None = None
    """File of `source TAB target` lines: says the target where that source word would stand. For a
    call, not a recipe: `--dictionary FILE`, from the folder in which the call is made."""

    @property
    def num_sentences(self) -> int:
        """Sentences translated at a time."""
        num_rows = self.beam_size if self.search == "beam" else self.n_best
        return self.batch_size or max(1, HYPOTHESES_AT_A_TIME // num_rows)

    @model_validator(mode="after")
    def _n_best_fits_the_beam(self) -> Self:
        if self.search == "beam" and self.n_best > self.beam_size:
            raise ValueError(
                f"n_best {self.n_best} needs a beam_size of at least {self.n_best}, "
                f"not {self.beam_size}"
            )
        return self

    @model_validator(mode="after")
    def _lengths_leave_room(self) -> Self:
        if self.min_length_factor > self.max_length_factor:
            raise ValueError(
                f"min_length_factor {self.min_length_factor} is above max_length_factor "
                f"{self.max_length_factor}; no translation can be both"
            )
        return self


class Config(Section):
    """A whole recipe."""

    data: Data = Data()
    """Where the parallel text is."""
    text: Text = Text()
    """How a sentence becomes tokens, and tokens a sentence."""
    vocab: Vocab = Vocab()
    """Which tokens the model knows."""
    model: Model = Model()
    """The encoder-decoder."""
    training: Training = Training()
    """Fitting the model."""
    decoding: Decoding = Decoding()
    """Searching for a translation."""

    @model_validator(mode="after")
    def _one_vocabulary_of_one_kind(self) -> Self:
        src, tgt = self.text.src_subword, self.text.tgt_subword
        if self.vocab.shared and src != tgt:
            raise ValueError(
                "vocab.shared needs the same subwords on both sides, not text.src_subword "
                f"{src} and text.tgt_subword {tgt}"
            )
        return self

    @model_validator(mode="after")
    def _tags_leave_room_for_words(self) -> Self:
        if len(self.data.all_directions) > 1:
            tags = {direction.tgt for direction in self.data.all_directions}
            if self.vocab.max_size < len(tags) + 5:
                raise ValueError(
                    f"vocab.max_size: {self.vocab.max_size} entries are too few for four markers, "
                    f"{len(tags)} tags of target languages and a word; raise it"
                )
        return self

    @field_validator("decoding")
    @classmethod
    def _coverage_needs_attention(cls, decoding: Decoding, info: ValidationInfo) -> Decoding:
        model = info.data.get("model")  # None if it is wrong itself
        if decoding.coverage_penalty and model is not None and model.context != "attention":
            raise ValueError(
                "coverage_penalty counts attention, and this model has none; leave it 0, or set "
                "model.context to attention"
            )
        return decoding
