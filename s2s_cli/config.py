"""All settings, on one page.

A recipe (a YAML file) mirrors these sections, and `--set section.key=value` overrides any key.
Each section is passed as a whole to the code that it is named after. Values are frozen: settings
never change during a run.
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
    """ISO 639 code of the source language; it selects the tokeniser."""
    tgt_lang: Language = "en"
    """ISO 639 code of the target language; it selects the tokeniser, the detokeniser and BLEU's
    tokeniser."""
    directions: Annotated[tuple[DirectionName, ...], Field(strict=False)] = ()
    """Several directions in one model, such as `[de-en, fr-en]`, instead of `src_lang` and
    `tgt_lang`. Each source sentence then starts with a tag of its target language. `{src}` and
    `{tgt}` in names of files and columns stand for the language codes."""
    folder: str = "."
    """Folder of the data files; relative file names below start here."""
    train: Split = EmbeddedPhrasebook(phrasebook="train")
    """Training pairs: `{src: FILE, tgt: FILE}`, `{file: TABLE, src: COLUMN, tgt: COLUMN}`,
    `{phrasebook: train}`, or a list of such sources."""
    valid: HeldOutSplit = EmbeddedPhrasebook(phrasebook="valid")
    """Validation pairs, which select the best epoch; a number holds out that share of the training
    pairs."""
    test: OptionalSplit = EmbeddedPhrasebook(phrasebook="test")
    """Test pairs for `s2s eval`; a number holds out that share of the training pairs."""
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed that decides which training pairs are held out; independent of `training.seed`."""
    max_length: Size = 100
    """Longest training or validation pair, in tokens on either side; longer pairs are left out and
    counted."""
    on_bad_utf8: OnBadUtf8 = "error"
    """Training pairs with bytes that are not UTF-8: `error` stops, `skip` leaves them out and
    counts them. In validation and test data they are always an error."""

    @property
    def all_directions(self) -> tuple[Direction, ...]:
        """The directions of translation: one, unless the recipe names several."""
        return parse_directions(self.directions) or (Direction(self.src_lang, self.tgt_lang),)

    @property
    def languages(self) -> Direction:
        """The only direction; `SEVERAL_LANGUAGES` on both sides if there are several."""
        only, *others = self.all_directions
        return Direction(SEVERAL_LANGUAGES, SEVERAL_LANGUAGES) if others else only

    @field_validator("directions")
    @classmethod
    def _check_directions(cls, directions: tuple[str, ...]) -> tuple[str, ...]:
        for name in directions:
            if directions.count(name) > 1:
                raise ValueError(f"names {name} twice; name each direction once")
        return directions

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        for source in sources_of(self.train):
            if not isinstance(source, EmbeddedPhrasebook) and len(targets_of(source)) > 1:
                raise ValueError(
                    "train names several targets for one source; name one (several references "
                    "are for valid and test)"
                )
        shares = {
            name: split
            for name, split in (("valid", self.valid), ("test", self.test))
            if isinstance(split, float)
        }
        if shares and len(self.all_directions) > 1:
            raise ValueError(
                f"{next(iter(shares))}: with several directions no share of the training pairs can "
                "be held out, because a source sentence of one may be a target of another; name "
                "files or tables"
            )
        if sum(shares.values()) >= 1:
            raise ValueError("valid and test hold out all pairs; leave some pairs to train")
        for name, split in (("valid", self.valid), ("test", self.test)):
            sources = () if split is None or isinstance(split, float) else sources_of(split)
            if any(source.weight != 1 for source in sources):
                raise ValueError(f"{name} has a weight; only sources of train have weights")
        return self


class Text(Section):
    """How sentences become tokens, and tokens become sentences."""

    src_tokenizer: TokenizerName = "auto"
    """Word tokeniser of the source: `jieba`, `moses`, `char`, `space`, `none` (whole sentences;
    requires subwords), or `auto`, which selects one by language."""
    tgt_tokenizer: TokenizerName = "auto"
    """Word tokeniser of the target; the same choices."""
    normalize: Literal["nfc", "nfkc", "none"] = "nfc"
    """Unicode normalisation of both sides: `nfc` composes accents, `nfkc` also replaces
    compatibility characters such as full-width letters, `none` changes nothing."""
    chinese: Literal["keep", "simplified", "traditional"] = "keep"
    """Convert Chinese text to one script with OpenCC (`pip install "s2s-cli[zh]"`)."""
    lowercase: bool = False
    """Lower-case both sides; scores then ignore case, and their signatures say so."""
    src_subword: SubwordKind = "none"
    """Split the source tokeniser's words into subwords with sentencepiece: `bpe`, `unigram` or
    `none`."""
    tgt_subword: SubwordKind = "none"
    """Subwords of the target; the same choices."""
    subword_sampling: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Subword regularisation: segment words differently in every epoch. For `bpe` the probability
    of dropping a merge (BPE-dropout), for `unigram` the smoothing parameter alpha; 0 is off."""
    tgt_subword_sampling: Annotated[float, Field(ge=0, le=1)] | None = None
    """Subword regularisation of the target side, if different."""

    @property
    def sampling(self) -> tuple[float, float]:
        """Subword regularisation of the source and the target."""
        tgt = self.tgt_subword_sampling
        return self.subword_sampling, self.subword_sampling if tgt is None else tgt

    @model_validator(mode="after")
    def _check_subwords(self) -> Self:
        for side, tokenizer, subword in (
            ("src", self.src_tokenizer, self.src_subword),
            ("tgt", self.tgt_tokenizer, self.tgt_subword),
        ):
            if tokenizer == "none" and subword == "none":
                raise ValueError(
                    f"{side}_tokenizer none leaves sentences whole and requires {side}_subword bpe "
                    "or unigram; to split at spaces, choose space"
                )
        if self.subword_sampling and self.src_subword == self.tgt_subword == "none":
            raise ValueError(
                f"subword_sampling {self.subword_sampling:g} requires src_subword or tgt_subword "
                "bpe or unigram"
            )
        if self.tgt_subword_sampling and self.tgt_subword == "none":
            raise ValueError(
                f"tgt_subword_sampling {self.tgt_subword_sampling:g} requires tgt_subword "
                "bpe or unigram"
            )
        return self


class Vocab(Section):
    """Which tokens the model knows."""

    max_size: Annotated[int, Field(ge=5)] = 10_000
    """Largest vocabulary of a side, including the four markers `<unk> <pad> <sos> <eos>`."""
    min_freq: Size = 2
    """Words that occur less often in the training text become `<unk>`; subwords are always kept."""
    shared: bool = False
    """Use one vocabulary and one set of subwords for both sides, built from the text of both."""
    character_coverage: Annotated[float, Field(ge=0.98, le=1)] | None = None
    """Share of the running characters that the subwords cover; null means 0.9995 for zh, ja and ko,
    else 1."""


class Sizes(Section):
    """Sizes of the encoder or decoder, where they differ from the model's."""

    embed_size: Width | None = None
    """Size of the embeddings of this side."""
    hidden_size: Annotated[Width, Field(ge=2)] | None = None
    """Size of the recurrent states of this side."""
    num_layers: Layers | None = None
    """Number of recurrent layers of this side."""
    transition_depth: Layers | None = None
    """Number of cells in a time step of each layer of this side."""


class Model(Section):
    """The encoder-decoder."""

    cell: Literal["rnn", "gru", "lstm"] = "gru"
    """Recurrent cell of encoder and decoder; `rnn` is the Elman cell with tanh."""
    embed_size: Width = 256
    """Size of the source and target embeddings."""
    hidden_size: Annotated[Width, Field(ge=2)] = 512
    """Size of the recurrent states; each direction of a bidirectional encoder has half of it."""
    num_layers: Layers = 1
    """Number of recurrent layers of the encoder, and of the decoder."""
    transition_depth: Layers = 1
    """Number of cells in a time step of each layer: the first reads the input, those after it have
    none (deep transitions, Barone et al. 2017). With `attend: between` they follow the second cell,
    so that Nematus counts one more in the decoder."""
    encoder: Sizes = Sizes()
    """Sizes of the encoder, where they differ: `{embed_size, hidden_size, num_layers,
    transition_depth}`."""
    decoder: Sizes = Sizes()
    """Sizes of the decoder, where they differ; the same keys."""
    bidirectional: bool = True
    """Read the source in both directions."""
    reverse_source: bool = False
    """Read the source from its last word to its first (Sutskever et al. 2014)."""
    residual: bool = False
    """Add the input of a layer to its output, from the second layer on (Wu et al. 2016)."""
    layer_norm: Literal["none", "output", "cell"] = "none"
    """Layer normalisation (Ba et al. 2016): `output` normalises the output of every layer, `cell`
    the gates inside every cell, those from its inputs and those from its state."""
    context: Literal["initial", "every_step", "attention"] = "attention"
    """What the decoder sees of the source: `initial` a summary at the start, `every_step` the
    summary at every step, `attention` all encoder outputs."""
    attention: Literal["additive", "general", "dot", "scaled_dot"] = "additive"
    """Attention scorer: `additive` (Bahdanau et al. 2014), or `general`, `dot` (Luong et al. 2015)
    or `scaled_dot`."""
    attention_size: Width = 512
    """Size of the hidden layer of the additive scorer."""
    attend: Literal["before", "after", "between", "below"] = "before"
    """When the decoder attends: `before` each step (Bahdanau), `after` it (Luong), `between` the
    two cells of a step (Nematus), or `below`, with the state of the bottom layer (GNMT)."""
    input_feeding: bool = False
    """With `attend: after`, feed the attentional state into the next step (Luong et al. 2015)."""
    decoder_start: Literal["last", "mean", "zero", "dense"] = "last"
    """Initial decoder state: `last` encoder state, `mean` encoder output, `zero`, or `dense`, a
    trained projection."""
    readout: Literal["auto", "linear", "tanh", "maxout"] = "auto"
    """Layer before the output projection; `auto` is maxout if the decoder sees a context, and
    linear where the papers have no such layer."""
    tied: Literal["none", "output", "all"] = "none"
    """Share weights: `output` uses the target embeddings as the output projection, `all` uses them
    for the source as well."""
    src_vectors: FilePath | None = None
    """File of pretrained source embeddings in word2vec's or fastText's text format, relative to
    `data.folder`."""
    tgt_vectors: FilePath | None = None
    """File of pretrained target embeddings; the same format."""
    dropout: Probability = 0.3
    """Dropout on embeddings, between layers, and before the output projection."""
    embed_dropout: Probability | None = None
    """Dropout on embeddings, if different."""
    output_dropout: Probability | None = None
    """Dropout before the output projection, if different."""
    word_dropout: Probability = 0.0
    """Probability of dropping the whole embedding of a word, for each position independently; the
    other embeddings are scaled up, as with all dropout."""
    src_word_dropout: Probability | None = None
    """Dropout of source words, if different."""
    tgt_word_dropout: Probability | None = None
    """Dropout of target words in the decoder's input, if different."""
    variational: bool = False
    """Use one dropout mask for all time steps of a sentence (Gal and Ghahramani 2016, without their
    dropout on recurrent connections)."""

    @property
    def word_dropouts(self) -> tuple[float, float]:
        """Dropout of whole words of the source and the target."""
        src, tgt = self.src_word_dropout, self.tgt_word_dropout
        default = self.word_dropout
        return default if src is None else src, default if tgt is None else tgt

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
            own.transition_depth or self.transition_depth,
        )

    @field_validator("layer_norm", mode="before")
    @classmethod
    def _name_layer_norm(cls, given: object) -> object:
        """Older recipes and models have `true` or `false`."""
        return ("output" if given else "none") if isinstance(given, bool) else given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problem := next(find_model_conflicts(self), None):
            raise ValueError(problem)
        return self


class ResolvedSizes(NamedTuple):
    """Sizes of the encoder or the decoder."""

    embed: int
    hidden: int
    layers: int
    depth: int
    """Number of cells in a time step of each layer."""


def find_model_conflicts(model: Model) -> Iterator[str]:
    """Describe settings of a model that contradict each other, and what to do about it."""
    src, tgt = model.encoder_sizes, model.decoder_sizes
    if model.bidirectional and src.hidden % 2:
        yield f"a bidirectional encoder requires an even hidden_size, not {src.hidden}"
    if model.decoder_start == "last" and (src.layers, src.hidden) != (tgt.layers, tgt.hidden):
        yield (
            f"decoder_start last: the encoder has {src.layers} layers of {src.hidden}, the decoder "
            f"{tgt.layers} of {tgt.hidden}; make them equal, or choose dense, mean or zero"
        )
    if model.decoder_start == "mean" and src.hidden != tgt.hidden:
        yield (
            f"decoder_start mean: the encoder has size {src.hidden}, the decoder {tgt.hidden}; "
            "make them equal, or choose dense or zero"
        )
    if model.context == "initial" and model.decoder_start == "zero":
        yield (
            "decoder_start zero: with context initial the decoder sees nothing of the source; "
            "choose last, mean or dense"
        )
    if model.input_feeding and (model.context, model.attend) != ("attention", "after"):
        yield "input_feeding requires context attention and attend after, whose result it feeds"
    if model.context == "attention" and model.attend == "below" and tgt.layers < 2:
        yield "attend below: requires a decoder of at least two layers; the bottom one attends"
    if (
        model.context == "attention"
        and model.attention in {"dot", "scaled_dot"}
        and src.hidden != tgt.hidden
    ):
        yield (
            f"attention {model.attention}: multiplies decoder states ({tgt.hidden}) with encoder "
            f"outputs ({src.hidden}); make them equal, or choose general or additive"
        )
    if model.tied == "all" and src.embed != tgt.embed:
        yield f"tied all: the embedding sizes {src.embed} and {tgt.embed} differ; make them equal"
    if model.tied == "all" and model.word_dropouts[0] != model.word_dropouts[1]:
        yield "tied all: both sides share one table; set word_dropout instead of one for each side"
    if model.src_vectors and model.tied == "all":
        yield "tied all: both sides share one table; name its vectors in tgt_vectors"


class Training(Section):
    """How the model is trained."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of weights, dropout, teacher forcing and the order of data. The same seed on the same
    machine gives the same bytes."""
    init_from: FilePath | None = None
    """Fine-tuning: folder of a model whose weights and vocabularies are the starting point,
    relative to the working directory."""
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` is the first GPU if there is one, else the
    CPU."""
    precision: Literal["float32", "tf32", "bf16", "fp16"] = "float32"
    """Arithmetic of matrix products: `float32`; `bf16` or, for GPUs without bfloat16, `fp16` (both
    keep weights, sums and losses in float32; `fp16` scales the loss); `tf32` rounds inputs to 10
    bits on NVIDIA GPUs."""
    kernels: Literal["fused", "plain"] = "fused"
    """`fused` uses a hand-written backward pass for the most expensive operations; `plain` uses
    autograd only, is slower and gives the same results up to rounding."""
    epochs: Size = 10
    """Most passes over the training pairs."""
    batch_size: Size = 64
    """Size of a batch of each process, in the unit of `batch_by`."""
    batch_by: Literal["sentences", "tokens"] = "sentences"
    """Unit of `batch_size`: `sentences` counts pairs, `tokens` counts the tokens of the longer
    side, padding included."""
    accumulate: Size = 1
    """Number of batches in one update; its loss is the mean over all their target tokens."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adadelta"] = "adam"
    """Optimizer, in PyTorch's implementation."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay; `adamw` decouples it from the gradient."""
    momentum: Probability = 0.0
    """Momentum of `sgd` and `rmsprop`."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate, the step size of the optimizer; null means 1 for `sgd` and `adadelta`,
    else 0.001."""
    schedule: Literal["constant", "exponential", "step", "plateau", "inverse_sqrt"] = "constant"
    """Learning rate schedule; the following keys set its parameters."""
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the schedules `exponential`, `step` and `plateau`."""
    decay_after: Size = 1
    """`exponential`: number of epochs at the peak rate; every later epoch multiplies it by the
    factor."""
    decay_every: Size = 1
    """`step`: number of epochs between two applications of the factor."""
    decay_patience: Annotated[int, Field(ge=0)] = 0
    """`plateau`: number of validations without improvement that are tolerated before the factor is
    applied."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Number of updates of linear warm-up from zero; `inverse_sqrt` decays from there."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Largest global norm of the gradients; larger gradients are scaled down to it."""
    label_smoothing: Probability = 0.0
    """Probability mass that the training loss spreads evenly over the vocabulary."""
    consistency: Literal["none", "rdrop", "simcut"] = "none"
    """Consistency training: show every pair twice, in different views, and penalise different
    predictions. `rdrop`: with different dropout (Liang et al. 2021); `simcut`: once with some words
    cut (Gao et al. 2022)."""
    consistency_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the difference, a Kullback-Leibler divergence. With `rdrop`, weight 1 adds a
    quarter of the sum of both divergences to the mean of both losses."""
    consistency_cut: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """`simcut`: probability that a word of the source or of the decoder's input is cut."""
    teacher_forcing: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Probability that a decoder input is the reference token and not the model's own
    prediction."""
    teacher_forcing_schedule: Literal["constant", "linear", "exponential", "inverse_sigmoid"] = (
        "constant"
    )
    """How that probability decays with the updates (scheduled sampling, Bengio et al. 2015)."""
    teacher_forcing_steps: Size = 10_000
    """Time scale of the decay, in updates: when `linear` reaches the minimum, when `exponential`
    has fallen to 1/e, or the k of `inverse_sigmoid`, k / (k + exp(i / k))."""
    teacher_forcing_min: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Lowest probability of teacher forcing."""
    best_by: Literal["bleu", "chrf", "perplexity", "accuracy"] = "bleu"
    """Validation metric that selects the best epoch; `accuracy` counts tokens. Where BLEU is
    unreliable, `accuracy` replaces it for labels (a few different targets, as in classification),
    and `perplexity` for short or few references (none of four tokens, or fewer than 100). Epochs
    with a BLEU below 1 are ranked by loss."""
    patience: Size = 5
    """Early stopping: number of validations without a better score (or an equal score at a lower
    loss)."""
    average: Size = 1
    """Number of epochs whose weights are averaged at the end; the average is kept if it validates
    better."""
    average_of: Literal["last", "best"] = "best"
    """Which epochs to average."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of an exponential moving average of the weights, which is then validated and saved; 0
    is off."""
    max_skipped: Annotated[int, Field(ge=0)] = 10
    """Most updates of an epoch that may be skipped because their loss or gradient is not finite.
    If more are skipped, training stops and names the lines of the pairs at fault. Overflows of
    float16 gradients are reported but do not count."""
    save_every: Size = 500
    """Number of updates between two saved training states; the end of an epoch is always saved."""
    log_every: Annotated[int, Field(ge=0)] = 0
    """Number of updates between two progress lines in `train.jsonl`, which also gets a line for
    every validation; 0 writes only those."""
    show_sentences: Annotated[tuple[Size, ...], Field(strict=False)] = (1, 2, 3)
    """Lines of the validation set, counted from 1, whose translations are shown after each epoch;
    `[]` for none."""

    @property
    def peak_learning_rate(self) -> float:
        """The peak learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1.0 if self.optimizer in {"sgd", "adadelta"} else 1e-3

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in find_training_conflicts(self):
            raise ValueError(problem)
        return self


def find_training_conflicts(training: Training) -> Iterator[str]:
    """Describe settings of a training that contradict each other, and what to do about it."""
    decays = {"exponential", "step", "plateau"}
    if training.learning_rate_decay < 1 and training.schedule not in decays:
        yield (
            f"learning_rate_decay {training.learning_rate_decay}: schedule {training.schedule} "
            f"does not use it; choose schedule exponential, step or plateau"
        )
    if training.learning_rate_decay == 1 and training.schedule in decays:
        yield f"schedule {training.schedule}: requires a learning_rate_decay below 1"
    if training.schedule == "inverse_sqrt" and not training.warmup_steps:
        yield "schedule inverse_sqrt: requires warmup_steps, after which the rate decays"
    if training.teacher_forcing_min > training.teacher_forcing:
        yield "teacher_forcing_min: is above teacher_forcing, where the decay starts; lower it"
    if training.consistency != "none" and training.teacher_forcing < 1:
        yield (
            f"consistency {training.consistency}: compares predictions after the same prefix, "
            "which teacher_forcing below 1 changes; set it to 1, or set consistency to none"
        )
    if training.momentum and training.optimizer not in {"sgd", "rmsprop"}:
        yield f"momentum: {training.optimizer} does not use it; remove it, or choose sgd"


HYPOTHESES_PER_BATCH = 320
"""Rows of a decoder step: enough for fast matrix products on a CPU."""


class Decoding(Section):
    """How translations are searched for."""

    search: Literal["beam", "sample", "mbr"] = "beam"
    """`beam` searches for the most likely translations; `sample` draws translations from the
    model's distribution; `mbr` draws them and chooses the one most similar to the others on average
    (minimum Bayes risk; Eikema and Aziz 2020)."""
    beam_size: Size = 5
    """Number of hypotheses that beam search keeps per sentence; 1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0)] = 1.0
    """Length penalty alpha; 0 compares plain sums of log-probabilities."""
    length_penalty_kind: Literal["gnmt", "length"] = "gnmt"
    """Divisor of the sums: `gnmt` is ((5 + length) / 6) ** alpha, `length` is length ** alpha."""
    coverage_penalty: Annotated[float, Field(ge=0)] = 0.0
    """GNMT's coverage penalty beta on source words that received little attention; 0 is off."""
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0
    """No n-gram of this many tokens may occur twice in a translation; 0 allows all repetitions."""
    min_length_factor: Annotated[float, Field(ge=0)] = 0.0
    """Least number of target tokens per source token, rounded down."""
    max_length_factor: Annotated[float, Field(gt=0)] = 2.0
    """Largest number of target tokens per source token, plus ten."""
    max_source_length: Size = 1000
    """Longest source sentence, in tokens; longer ones are truncated, and a warning counts them."""
    n_best: Size = 1
    """Number of translations per sentence: the best ones (at most `beam_size`, or `num_samples` for
    `mbr`), or that many samples."""
    num_samples: Size = 64
    """Number of samples per sentence that `mbr` chooses from, and compares them with."""
    utility: Literal["chrf", "bleu"] = "chrf"
    """Similarity for `mbr`: chrF or BLEU of sentences. The score of a translation is its mean over
    the samples."""
    temperature: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    """Sampling temperature, by which the logits are divided: values below 1 prefer likely tokens
    more strongly, values above 1 less."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample only from this many most likely tokens; 0 means all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample only from the smallest set of most likely tokens with this total probability."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of sampling: the same seed and sentence give the same samples, whatever the batch."""
    batch_size: Size | None = None
    """Number of sentences per batch; null chooses as many as give 320 hypotheses, which is 64 for a
    beam of 5."""
    precision: Literal["float32", "bf16", "int8"] = "float32"
    """Arithmetic of the matrix products of the search: `bf16` is faster, `int8` fastest (CPU only).
    Sums, the encoder and `--score-pairs` stay in float32."""
    kernels: Literal["fused", "plain"] = "fused"
    """`fused` searches with joined and reordered matrices and lookup tables where it can; `plain`
    runs the model as it was trained, is slower and gives the same results up to rounding."""
    keep_unk: bool = False
    """Leave `<unk>` in the output instead of replacing it with the source word that has the most
    attention."""
    dictionary: FilePath | None = None
    """File of `source TAB target` lines that supply translations for source words that would
    replace `<unk>`. It cannot be set in a recipe; use `--dictionary FILE`, relative to the working
    directory."""

    @property
    def num_sentences(self) -> int:
        """Number of sentences per batch."""
        return self.batch_size or max(1, HYPOTHESES_PER_BATCH // self.num_rows)

    @property
    def num_rows(self) -> int:
        """Number of hypotheses per sentence that the search extends at the same time."""
        rows = {"beam": self.beam_size, "sample": self.n_best, "mbr": self.num_samples}
        return rows[self.search]

    @model_validator(mode="after")
    def _check_n_best(self) -> Self:
        name = "num_samples" if self.search == "mbr" else "beam_size"
        if self.n_best > self.num_rows:
            raise ValueError(
                f"n_best {self.n_best} requires a {name} of at least {self.n_best}, "
                f"not {self.num_rows}"
            )
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.min_length_factor > self.max_length_factor:
            raise ValueError(
                f"min_length_factor {self.min_length_factor} is above max_length_factor "
                f"{self.max_length_factor}; no translation satisfies both"
            )
        return self


class Config(Section):
    """A whole recipe."""

    data: Data = Data()
    """Where the parallel text is."""
    text: Text = Text()
    """How sentences become tokens, and tokens become sentences."""
    vocab: Vocab = Vocab()
    """Which tokens the model knows."""
    model: Model = Model()
    """The encoder-decoder."""
    training: Training = Training()
    """How the model is trained."""
    decoding: Decoding = Decoding()
    """How translations are searched for."""

    @model_validator(mode="after")
    def _check_shared_vocabulary(self) -> Self:
        src, tgt = self.text.src_subword, self.text.tgt_subword
        if self.vocab.shared and src != tgt:
            raise ValueError(
                "vocab.shared requires the same subwords on both sides, not text.src_subword "
                f"{src} and text.tgt_subword {tgt}"
            )
        return self

    @model_validator(mode="after")
    def _check_vocabulary_size(self) -> Self:
        if len(self.data.all_directions) > 1:
            tags = {direction.tgt for direction in self.data.all_directions}
            if self.vocab.max_size < len(tags) + 5:
                raise ValueError(
                    f"vocab.max_size: {self.vocab.max_size} is too small for four markers, "
                    f"{len(tags)} tags of target languages and a word; raise it"
                )
        return self

    @field_validator("decoding")
    @classmethod
    def _check_coverage_penalty(cls, decoding: Decoding, info: ValidationInfo) -> Decoding:
        model = info.data.get("model")  # None if it is invalid itself
        if decoding.coverage_penalty and model is not None and model.context != "attention":
            raise ValueError(
                "coverage_penalty requires a model with attention; set it to 0, or set "
                "model.context to attention"
            )
        return decoding
