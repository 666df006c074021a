"""Preparing the text of a run: vocabularies, and the token ids of each split on disk.

    text -> words, counted -> subwords and vocabularies -> ids

Preparing is idempotent, like `make`. First it looks for datasets that are up to date
(`data/staleness.py`); if all are, it reads no text. The other splits take three passes:

1. Tokenise. The text of each split is read once, source by source. Several processes split the
   sentences into words, count the words and hash the pairs. The words go to a temporary file. If
   pairs are held out of train, train and the held-out splits are read together; before that, the
   beginning of train is read to choose thresholds (`data/holdout.py`).
2. Learn, if the run has no vocabularies or they do not fit the text. Subwords and vocabularies are
   learnt from the word counts of train. New vocabularies change all ids, so the first pass then
   reads the splits that were up to date as well.
3. Encode. Several processes read the words from the temporary file, segment them into subwords and
   replace these by ids.

Each dataset is written to a temporary folder. All folders take their final names together after the
last pass, so an error or a signal leaves the previous datasets unchanged.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.dataset import Dataset
from s2s_cli.data.dataset_writer import (
    DatasetWriter,
    EncodingSettings,
    choose_dtype,
    make_encoder,
)
from s2s_cli.data.holdout import check_split_sizes
from s2s_cli.data.manifest import Manifest, Settings
from s2s_cli.data.pairs import Reading, Row
from s2s_cli.data.splits import SplitText, find_holdout, open_splits
from s2s_cli.data.staleness import add_vocabularies, find_current, find_stale, list_settings
from s2s_cli.data.words import chunk_rows, make_word_splitter
from s2s_cli.data.workers import WorkerTask, map_in_order
from s2s_cli.errors import DataError
from s2s_cli.run import Vocabularies
from s2s_cli.sources import Direction
from s2s_cli.storage.atomic import replacing_folder
from s2s_cli.vocabularies import TokenCounts, count_tokens, learn_vocabularies

NO_TEST = "the test set is not compared with train, and `s2s eval` will refuse it"

ProgressCallback = Callable[[str, int, int | None], None]
"""Receives the stage, the number of pairs done, and their total if it is known. May raise to stop
the preparation."""


class Workers(NamedTuple):
    """How passes run. This does not change the result."""

    number: int
    """Maximum number of processes."""
    report: ProgressCallback = lambda *_: None


class Prepared(NamedTuple):
    """All that training needs of the text."""

    vocabularies: Vocabularies
    is_new: bool
    """Whether the vocabularies were learnt just now."""
    datasets: dict[str, Dataset]
    """By split; `test` is missing if the recipe has no test set, or an unreadable one."""
    notes: list[str]
    """For the user: which datasets were encoded again, and why."""
    warnings: list[str]
    """Why the test set could not be prepared."""


def prepare(
    config: Config,
    folder: Path,
    workers: Workers,
    known: Vocabularies | None = None,
    fits: Callable[[Mapping[str, str]], bool] = lambda _: True,
    inspect: Callable[[Vocabularies, Mapping[str, TokenCounts]], None] = lambda *_: None,
    *,
    reads_all: bool = False,
) -> Prepared:
    """Bring the datasets of all splits up to date.

    Args:
        config: the recipe.
        folder: where each split has a folder with its dataset.
        workers: processes and progress.
        known: the vocabularies to use; if None, vocabularies are learnt from train.
        fits: receives the origin of train (SHA-256 by name) and returns whether `known` can be
            used; if not, vocabularies are learnt. May raise to refuse the text.
        inspect: receives the vocabularies, and the token counts of the splits that are about to be
            encoded. May raise to refuse them.
        reads_all: whether to encode all splits again, even those that are up to date.

    Raises:
        ConfigError: the recipe's splits are inconsistent, or no token is frequent enough.
        DataError: a file is missing or malformed, or a split is empty.
    """
    notes, warnings = list[str](), list[str]()
    texts = _open_all(config, warnings)
    settings = {text.name: list_settings(config, text) for text in texts}
    found: dict[str, Manifest | str | None] = {}
    if known is not None and not reads_all:
        wanted = {name: _add_hashes(keys, known) for name, keys in settings.items()}
        found = {
            text.name: find_current(folder / text.name, text, wanted[text.name]) for text in texts
        }
    train = found.get("train")
    if isinstance(train, Manifest) and not fits(train.origin):
        known, found = None, {}
    stale = find_stale(texts, found)
    with ExitStack() as stack:
        reader = _Reader(config, folder, workers, stack)
        writers = reader.read(stale, warnings)
        if known is not None and "train" in writers and not fits(writers["train"].origin):
            known = None
        is_new = known is None
        if known is None:
            writers |= reader.read([text for text in texts if text not in stale], warnings)
            known = _learn(config, writers["train"], notes)
        subwords = known.subwords
        inspect(known, {name: count_tokens(one.words, subwords) for name, one in writers.items()})
        for name, writer in writers.items():
            _encode(writer, known, config, _add_hashes(settings[name], known), workers)
    reasons = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    notes += [f"{folder / name}: {reason}; encoded again" for name, reason in reasons.items()]
    names = [text.name for text in texts if text.name in writers or text not in stale]
    datasets = {name: Dataset.open(folder / name) for name in names}
    return Prepared(known, is_new, datasets, notes, warnings)


def open_prepared(folder: Path, vocabularies: Vocabularies) -> Prepared:
    """Open the datasets for training that another process has prepared.

    Args:
        folder: of the datasets.
        vocabularies: with which they were encoded.

    Raises:
        DataError: train or valid is missing.
    """
    datasets = {name: Dataset.open(folder / name) for name in ("train", "valid")}
    return Prepared(vocabularies, False, datasets, [], [])


def _open_all(config: Config, warnings: list[str]) -> list[SplitText]:
    """Open the text of all splits, but leave out a test set that cannot be opened."""
    texts = open_splits(config.data, ("valid",))
    try:
        return texts + open_splits(config.data, ("test",))[1:]
    except DataError as error:
        warnings.append(f"{NO_TEST}: {error}")
        return texts


def _add_hashes(settings: Settings, known: Vocabularies) -> Settings:
    return add_vocabularies(settings, known.src, known.tgt, known.subwords)


class _Reader(NamedTuple):
    """The first pass: splits text into words, in temporary folders.

    The folders take their final names when the stack closes, and are removed if it closes with an
    error.
    """

    config: Config
    folder: Path
    workers: Workers
    stack: ExitStack

    def read(self, texts: list[SplitText], warnings: list[str]) -> dict[str, DatasetWriter]:
        """Read splits. Validation and test files come first, so their errors appear at once."""
        writers: dict[str, DatasetWriter] = {}
        for text in texts:
            if text.is_from_train:
                continue
            try:
                with ExitStack() as stack:
                    writers |= self._read_together([text], stack)
                    self.stack.push(stack.pop_all())
            except DataError as error:
                if text.name != "test":
                    raise
                warnings.append(f"{NO_TEST}: {error}")
        from_train = [text for text in texts if text.is_from_train]
        return writers | (self._read_together(from_train, self.stack) if from_train else {})

    def _read_together(self, texts: list[SplitText], stack: ExitStack) -> dict[str, DatasetWriter]:
        """Read splits that have the same sources; their folders belong to the stack given."""
        sources = texts[0].sources
        readings = [Reading() for _ in sources]
        writers: dict[str, DatasetWriter] = {}
        for text in texts:
            folder = stack.enter_context(replacing_folder(self.folder / text.name))
            writers[text.name] = DatasetWriter(text, folder, readings)
            stack.callback(writers[text.name].close)
        rows = self._divide(texts[0], readings, writers)
        directions = tuple({source.direction for source in sources})
        task = WorkerTask(make_word_splitter, (self.config.text, directions))
        num_done = 0
        with closing(map_in_order(task, chunk_rows(rows), self.workers.number)) as chunks:
            for chunk in chunks:
                writers[chunk.split].add_words(chunk)
                num_done += chunk.num_pairs
                self.workers.report("tokenising", num_done, None)
        if len(writers) > 1:
            check_split_sizes({name: sum(writer.num_rows) for name, writer in writers.items()})
        for writer in writers.values():
            writer.words.close()
            writer.count_left_out()
        return writers

    def _divide(
        self, text: SplitText, readings: list[Reading], writers: Mapping[str, DatasetWriter]
    ) -> Iterator[tuple[str, int, Direction, Row]]:
        """Yield the rows of all sources, each with its split; write their text on the way."""
        holdout = find_holdout(text, self.config.data) if text.is_subset else None
        for number, source in enumerate(text.sources):
            for row in source.read(readings[number]):
                name = text.name if holdout is None else holdout.split_of(row[0])
                writers[name].add_row(number, row)
                yield name, number, source.direction, row


def _learn(config: Config, train: DatasetWriter, notes: list[str]) -> Vocabularies:
    """The second pass: learn subwords and vocabularies from the words of train."""
    origin = train.origin.values()
    return learn_vocabularies(config, train.words, origin, train.text.title, notes.append)


def _encode(
    writer: DatasetWriter,
    vocabularies: Vocabularies,
    config: Config,
    settings: Settings,
    workers: Workers,
) -> None:
    """The third pass: replace the words of a split by ids, and complete its dataset."""
    src, tgt = vocabularies.src, vocabularies.tgt
    models = [(one.content, one.kind) if one else None for one in vocabularies.subwords]
    encoding = EncodingSettings(
        (src.to_tsv(), tgt.to_tsv()),
        (models[0], models[1]),
        tuple(tuple(src.encode_tag(source.direction.tgt)) for source in writer.text.sources),
        config.data.max_length,
        choose_dtype(len(src), len(tgt)),
    )
    num_done = 0
    task = WorkerTask(make_encoder, (encoding,))
    with closing(map_in_order(task, writer.words.slices, workers.number)) as chunks:
        for chunk in chunks:
            writer.add_ids(chunk)
            num_done += chunk.num_rows
            workers.report("encoding", num_done, writer.words.num_pairs)
    if not writer.counts.pairs and writer.text.name != "test":
        raise DataError(
            f"data.{writer.text.name}: all pairs of {writer.text.title} are empty or longer than "
            "data.max_length; raise data.max_length, or give other text"
        )
    writer.finish(settings, encoding.dtype)
