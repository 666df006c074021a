"""From the text of train to an encoded corpus on disk, in passes that need no memory for text.

    text -> (by a pool of processes) words -> pieces, where there are subwords -> ids

Words and pieces stand in temporary files. All is written into a folder beside the place of the
corpus, which gets its name when it is whole.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType

from s2s_cli.config import Config
from s2s_cli.data.encoded_corpus import FingerprintWriter, StoredPairs, write_pairs
from s2s_cli.data.manifest import (
    FORMAT,
    VALID,
    FileFacts,
    Manifest,
    find_damage,
    find_other_settings,
    find_other_text,
    read_manifest,
    restamp,
)
from s2s_cli.data.parts import Parts
from s2s_cli.data.sentence_pairs import Row
from s2s_cli.data.shares import Deal
from s2s_cli.data.splits import TrainingText, open_training
from s2s_cli.data.token_file import TokenFile
from s2s_cli.errors import DataError
from s2s_cli.preparation.facts import Facts, conclude, recall, stamp
from s2s_cli.preparation.passes import Means, Tell, cut_into_pieces, encode_tokens, split_words
from s2s_cli.preparation.settings import Settings, list_settings, with_vocabularies
from s2s_cli.run import Vocabularies
from s2s_cli.storage.atomic import replacing_folder
from s2s_cli.text.subwords import SubwordPair

WORDS, PIECES = "words", "pieces"
"""Temporary files."""

TOLD_ROWS = 20_000
"""Rows between two such calls where they are only read."""


class Preparation:
    """The training pairs of a run, on their way to the encoded corpus in its folder.

    A context: what was begun and not committed is gone at its end.
    """

    def __init__(
        self, config: Config, folder: Path, workers: int, tell: Tell = lambda *_: None
    ) -> None:
        """Look for the sources; nothing of them is read yet.

        Args:
            config: the recipe.
            folder: place of the encoded corpus.
            workers: processes at most; changes no result.
            tell: hears about progress; may raise an error to stop.

        Raises:
            ConfigError, DataError: as `open_training`.
        """
        text = open_training(config.data)
        self.text: TrainingText = text._replace(
            sources=[
                replace(source, stream=partial(_told, source.stream, self._tell_read))
                for source in text.sources
            ]
        )
        self.why: str | None = None
        """Why the corpus in the folder is of no use, once that is known."""
        self._settings = list_settings(config, self.text)
        self._config, self.folder = config, folder
        self._means, self._reads_only = Means(workers, tell), True
        self._stack = ExitStack()
        self._temporary: Path | None = None
        self._facts: Facts | None = None
        self._manifest: Manifest | None = None
        self._dealt: Deal | None = None
        self._words: TokenFile | None = None
        self._hashes: dict[str, FileFacts] = {}
        self._pieces: tuple[SubwordPair, TokenFile] | None = None

    def __enter__(self) -> "Preparation":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:  # Nothing was committed: let the writer of the folder undo it.
            kind, error = GeneratorExit, GeneratorExit()
        self._stack.__exit__(kind, error, trace)

    @property
    def name(self) -> str:
        """What to call the text."""
        return "+".join(source.name for source in self.text.sources)

    def facts(self) -> Facts:
        """What is known of the text: from the manifest if it is of this text, else by reading.

        Raises:
            DataError: the text is malformed, or a source is empty.
        """
        if self._facts is None:
            self._manifest = self._find_usable()
            if self._manifest is not None:
                self._facts = recall(self.text, self._manifest, self.folder)
            else:
                parts, stamps = Parts(self.text.sources, self._deal()), stamp(self.text)
                for _ in parts.read(keep=("valid",)):
                    pass
                self._facts = conclude(self.text, parts, stamps)
        return self._facts

    def tokenize(self) -> TokenFile:
        """Split the text into words, and take its fingerprints on the way.

        Raises:
            DataError: the text is malformed, or a source is empty.
        """
        parts, stamps = Parts(self.text.sources, self._deal()), stamp(self.text)
        directions = [source.direction for source in self.text.sources]
        pairs, path = parts.read(keep=("valid",)), self._new_folder() / WORDS
        self._reads_only = False
        with FingerprintWriter(self._new_folder()) as writer:
            self._words = split_words(
                pairs, self._config, directions, path, self._means, writer.add
            )
        self._hashes = writer.facts
        self._reads_only = True
        facts = conclude(self.text, parts, stamps)
        if self._facts is not None and self._facts.origin != facts.origin:
            raise DataError(f"{self.name}: changed while it was read; try again")
        self._facts = facts
        return self._words

    def words(self) -> TokenFile:
        """The words of the text, split now if they are not yet."""
        return self._words or self.tokenize()

    def cut_words(self, subwords: SubwordPair) -> TokenFile:
        """The pieces of the words; the words themselves where there are no subwords."""
        words = self.words()
        if subwords == (None, None):
            return words
        if self._pieces is None or self._pieces[0] != subwords:
            path = self._new_folder() / PIECES
            self._pieces = subwords, cut_into_pieces(words, subwords, path, self._means)
        return self._pieces[1]

    def encode(self, vocabularies: Vocabularies) -> tuple[StoredPairs, Manifest]:
        """The encoded corpus: the one in the folder if it is of this text and recipe, else anew.

        Raises:
            DataError: the text is malformed, or a source is empty.
        """
        self.facts()
        wanted = with_vocabularies(self._settings, vocabularies)
        found = self._manifest
        if found is not None:
            self.why = next(find_other_settings(found, wanted), None)
            if self.why is None:
                return StoredPairs(self.folder, found.dtype), found
        return self._encode_anew(vocabularies, wanted)

    def encode_anew(self, vocabularies: Vocabularies) -> tuple[StoredPairs, Manifest]:
        """The encoded corpus, whatever is in the folder.

        Raises:
            DataError: the text is malformed, or a source is empty.
        """
        wanted = with_vocabularies(self._settings, vocabularies)
        return self._encode_anew(vocabularies, wanted)

    def commit(self) -> None:
        """Put the corpus that was encoded into its place, if one was."""
        if self._temporary is not None:
            for name in (WORDS, PIECES):
                (self._temporary / name).unlink(missing_ok=True)
            self._temporary = None
            self._stack.close()
        self._words = self._pieces = None

    def _new_folder(self) -> Path:
        """The folder that is written, created when it is first asked for."""
        if self._temporary is None:
            self._temporary = self._stack.enter_context(replacing_folder(self.folder))
        return self._temporary

    def _encode_anew(
        self, vocabularies: Vocabularies, wanted: Settings
    ) -> tuple[StoredPairs, Manifest]:
        tokens = self.cut_words(vocabularies.subwords)
        facts, folder = self.facts(), self._new_folder()
        longest = self._config.data.max_length
        written = encode_tokens(tokens, vocabularies, longest, folder, self._means)
        files = written.files | self._hashes
        if facts.valid:
            texts = ((corpus.src, corpus.tgt) for corpus in facts.valid)
            pairs = (pair for src, tgt in texts for pair in zip(src, tgt, strict=True))
            files[VALID] = write_pairs(folder, VALID, pairs)
        both = zip(facts.sources, written.num_pairs, strict=True)
        manifest = Manifest(
            format=FORMAT,
            made_with=wanted,
            texts=facts.texts,
            sources=tuple(one.model_copy(update={"pairs": number}) for one, number in both),
            counts=written.counts.model_copy(update=facts.left_out._asdict()),
            dtype=written.dtype,
            files=files,
        )
        manifest.write(folder)
        return StoredPairs(folder, manifest.dtype), manifest

    def _deal(self) -> Deal | None:
        """Which pair is on which side of the shares, if anything is held out."""
        self._dealt = self._dealt or self.text.deal()
        return self._dealt

    def _find_usable(self) -> Manifest | None:
        """The manifest of a corpus of this text and recipe that is whole, if there is one."""
        if not self.folder.exists():
            return None
        found = read_manifest(self.folder)
        if isinstance(found, str):
            self.why = found
            return None
        wanted, paths = self._settings, self.text.paths()
        self.why = (
            next(find_other_settings(found, wanted), None)
            or find_damage(self.folder, found)
            or find_other_text(found, paths)
        )
        if self.why is not None:
            return None
        now = restamp(self.folder, found, paths)
        if now != found and os.access(self.folder, os.W_OK):
            now.write(self.folder)
        return now

    def _tell_read(self, num_rows: int) -> None:
        """Tell of rows of a source where nothing more is done with them for now."""
        if self._reads_only:
            self._means.tell("reading", num_rows, None)


def _told(
    stream: Callable[[list[str]], Iterator[Row]], tell: Callable[[int], None], digests: list[str]
) -> Iterator[Row]:
    """The rows of a source, told of now and then."""
    for number, row in enumerate(stream(digests)):
        if number % TOLD_ROWS == TOLD_ROWS - 1:
            tell(number + 1)
        yield row
