"""The work of every system: the text, the size of the model, the number of updates.

The text is tokenised and lower-cased once, and written as plain lines and vocabularies that all
systems read; none of them tokenises.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.pairs import PairSource
from s2s_cli.data.splits import open_sources
from s2s_cli.errors import DataError
from s2s_cli.recipe import check_config
from s2s_cli.storage.atomic import write_file
from s2s_cli.text.tokenizer import make_tokenizers

SIDES = ("src", "tgt")
MIN_FREQ = 2
"""Words seen less often in the training text are unknown to every system."""


class Sizes(NamedTuple):
    """Sizes of the model and its training, the same for every system."""

    embed: int = 256
    hidden: int = 512
    """Of the decoder; each direction of the encoder has half of it."""
    attention: int = 512
    batch: int = 64
    """Sentence pairs per update, and sentences per batch of a search."""
    learning_rate: float = 1e-3
    clip_norm: float = 1.0
    dropout: float = 0.3
    max_length: int = 100
    """Maximum number of tokens of a sentence and of a translation."""


SIZES = Sizes()


class Scale(NamedTuple):
    """How much is measured."""

    first: int
    """Updates before the timing of training starts, and between two reports."""
    last: int
    """The update at which the timing ends."""
    updates: int
    """Updates of the models that translate."""
    repetitions: int
    help_runs: int
    pairs: int | None = None
    """Training pairs; None is all of them."""
    lines: int = 1000
    """Test sentences to translate."""


FIGURES = Scale(first=50, last=150, updates=908, repetitions=3, help_runs=10)
"""For real figures: the models that translate get two epochs of Multi30k."""
FEWEST = 3
"""Minimum number of updates before the timing of training starts."""
QUICK = Scale(first=5, last=20, updates=20, repetitions=1, help_runs=1, pairs=1280, lines=50)
"""Shows that everything runs."""


class Work(NamedTuple):
    """The text on disk, and what to do with it."""

    folder: Path
    text_name: str
    sizes: Sizes
    scale: Scale
    num_pairs: int
    num_tokens: tuple[int, int]
    """Of the training text; on the target side with one end of sentence per line."""
    vocab_sizes: tuple[int, int]
    """Words of source and target, without the markers of the systems."""
    digest: str
    """Changes if anything in the work changes."""
    device: str = "cpu"
    """Where the systems train and translate: `cpu` or `cuda`."""

    @property
    def is_on_gpu(self) -> bool:
        """Whether the work is done on a GPU."""
        return self.device == "cuda"

    def text(self, split: str, side: str) -> Path:
        """A file of sentences, one per line: `train`, `valid`, `test` or `one`, `src` or `tgt`."""
        return self.folder / f"{split}.{side}"

    def vocabulary(self, side: str) -> Path:
        """A file of words, one per line, the most frequent first."""
        return self.folder / f"vocab.{side}"

    @property
    def updates_per_epoch(self) -> int:
        """Number of batches of the training text."""
        return ceil(self.num_pairs / self.sizes.batch)


class Text(NamedTuple):
    """Tokens of the sentences of one split."""

    src: list[list[str]]
    tgt: list[list[str]]


def prepare_work(
    data_folder: Path | None,
    folder: Path,
    scale: Scale,
    sizes: Sizes = SIZES,
    device: str = "cpu",
) -> Work:
    """Tokenise the text, write the files that all systems read, and describe the work.

    Args:
        data_folder: has `train.de`, `train.en` and so on; None means the embedded phrasebook.
        folder: parent of the folder that is written.
        scale: how much to measure; lowered if the text is short.
        sizes: of the model and its batches.
        device: where the work is done.

    Raises:
        DataError: a file is missing or malformed, or there is too little of it.
    """
    name = "phrasebook" if data_folder is None else "multi30k"
    text = read_text(recipe_for(data_folder), scale)
    train = text["train"]
    vocabularies = find_vocabulary(train.src), find_vocabulary(train.tgt)
    scale = fit_scale(scale, ceil(len(train.src) / sizes.batch), len(text["test"].src))
    files = {
        f"{split}.{side}": [" ".join(tokens) for tokens in getattr(part, side)]
        for split, part in text.items()
        for side in SIDES
    }
    files |= {f"vocab.{side}": words for side, words in zip(SIDES, vocabularies, strict=True)}
    contents = {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()}
    facts: tuple[object, ...] = (sizes, scale._replace(repetitions=0), contents)
    facts = (*facts, device) if device != "cpu" else facts
    digest = sha256(repr(facts).encode()).hexdigest()
    work = Work(
        folder / f"{name}-{digest[:12]}",
        name,
        sizes,
        scale,
        len(train.src),
        (sum(map(len, train.src)), sum(map(len, train.tgt)) + len(train.tgt)),
        (len(vocabularies[0]), len(vocabularies[1])),
        digest,
        device,
    )
    for file_name, content in contents.items():
        write_file(work.folder / file_name, content)
    return work


def recipe_for(data_folder: Path | None) -> Config:
    """The recipe that says where the text is and how it is tokenised."""
    data: dict[str, object] = {}
    if data_folder is not None:
        data = {"src_lang": "de", "tgt_lang": "en", "folder": str(data_folder)}
        data |= {
            split: {"src": f"{split}.de", "tgt": f"{split}.en"}
            for split in ("train", "valid", "test")
        }
    return check_config({"data": data, "text": {"lowercase": True}}, "benchmark")


def read_text(config: Config, scale: Scale) -> dict[str, Text]:
    """Read the words of each split, up to the scale; `one` is a single test sentence."""
    data = config.data
    text = {
        "train": _tokenize(config, open_sources(data.train, data, "train"), scale.pairs),
        "valid": _tokenize(config, open_sources(data.valid, data, "valid")),
        "test": _tokenize(config, open_sources(data.test or (), data, "test"), scale.lines),
    }
    # One of median length.
    order = sorted(range(len(text["test"].src)), key=lambda i: len(text["test"].src[i]))
    middle = order[len(order) // 2]
    text["one"] = Text(*([side[middle]] for side in text["test"]))
    return text


def _tokenize(config: Config, sources: Sequence[PairSource], most: int | None = None) -> Text:
    """The words of the first pairs that are not too long."""
    pairs = (
        (src.tokenize(row[0]), tgt.tokenize(row[1]))
        for source in sources
        for src, tgt in [make_tokenizers(config.text, source.direction)]
        for row in source.read()
    )
    fitting = (pair for pair in pairs if all(0 < len(side) <= SIZES.max_length for side in pair))
    src, tgt = zip(*islice(fitting, most), strict=True)
    return Text(list(src), list(tgt))


def find_vocabulary(sentences: list[list[str]]) -> list[str]:
    """Words that occur at least `MIN_FREQ` times, by frequency, then alphabetically."""
    counts = Counter(chain.from_iterable(sentences))
    known = [word for word, count in counts.items() if count >= MIN_FREQ]
    return sorted(known, key=lambda word: (-counts[word], word))


def fit_scale(scale: Scale, updates_per_epoch: int, num_lines: int) -> Scale:
    """Fit the scale to a text: training is timed within one epoch, between validations.

    If batches are so large that an epoch has few, reports are more frequent.

    Raises:
        DataError: an epoch is too short to be timed.
    """
    first = min(scale.first, max(updates_per_epoch // 3, FEWEST))
    last = min(scale.last, updates_per_epoch) // first * first
    if last < 2 * first:
        raise DataError(
            f"the training text: makes {updates_per_epoch} updates an epoch; at least "
            f"{2 * first} are needed"
        )
    return scale._replace(first=first, last=last, lines=min(scale.lines, num_lines))
