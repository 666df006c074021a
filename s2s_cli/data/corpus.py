r"""Parallel text, read and checked.

One reader for all text: bytes, split at `\n` only (Python's text mode and `splitlines` split at
up to ten characters), UTF-8 with or without a byte order mark, CRLF accepted, `.gz` unpacked.
"""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from pathlib import Path

from s2s_cli.config import Data, EmbeddedPhrasebook, ParallelFiles, Split
from s2s_cli.data.phrasebook import Splits, expand_phrasebook
from s2s_cli.errors import ConfigError, DataError

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs of one split, blank ones left out."""

    name: str
    src: list[str]
    tgt: list[str]
    num_blank: int
    """Pairs left out because a side, or both, was blank."""
    origin: dict[str, str]
    """Where the text came from: name to SHA-256."""

    def __len__(self) -> int:
        return len(self.src)

    def keep(self, kept: list[bool]) -> "Corpus":
        """The pairs whose place in `kept` is True."""
        src = [sentence for sentence, is_kept in zip(self.src, kept, strict=True) if is_kept]
        tgt = [sentence for sentence, is_kept in zip(self.tgt, kept, strict=True) if is_kept]
        return replace(self, src=src, tgt=tgt)


def load_training(data: Data) -> tuple[Corpus, Corpus]:
    """The training and the validation pairs of a recipe.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; a split is empty.
    """
    train, held_out = _load_train(data)
    return train, held_out.get("valid") or load_split(data.valid, Path(data.folder), "valid")


def load_test(data: Data) -> Corpus:
    """The test pairs of a recipe.

    Raises:
        DataError: as `load_training`; or the recipe names no test set.
    """
    if data.test is None:
        raise DataError("data.test: the recipe names no test set; give --test-src and --test-tgt")
    if isinstance(data.test, float):
        return _load_train(data)[1]["test"]
    return load_split(data.test, Path(data.folder), "test")


def _load_train(data: Data) -> tuple[Corpus, dict[str, Corpus]]:
    """The training pairs, and what is held out of them for validation and test."""
    train = load_split(data.train, Path(data.folder), "train")
    shares = {"valid": data.valid, "test": data.test}
    held_out = {name: share for name, share in shares.items() if isinstance(share, float)}
    return _hold_out(train, held_out) if held_out else (train, {})


def load_split(split: Split | float, folder: Path, name: str) -> Corpus:
    """Read one split from its files, or from the phrasebook.

    Raises:
        DataError: as `load_splits`.
    """
    match split:
        case EmbeddedPhrasebook():
            pairs = getattr(_phrasebook(), split.phrasebook)
            src, tgt = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            origin = {f"phrasebook:{split.phrasebook}": _hash_pairs(pairs)}
            corpus = Corpus(f"phrasebook-{split.phrasebook}", src, tgt, 0, origin)
        case ParallelFiles():
            for side, path in (("src", folder / split.src), ("tgt", folder / split.tgt)):
                if not path.is_file():
                    raise DataError(
                        f"data.{name}.{side}: no such file: {path}; name its folder with "
                        f"--data-dir, or the files with --{name}-src and --{name}-tgt"
                    )
            corpus = read_parallel(folder / split.src, folder / split.tgt)
        case _:
            raise ConfigError(f"data.{name}: a share of the training pairs cannot be read alone")
    if not corpus.src:
        raise DataError(f"data.{name}: no sentence pairs left in {corpus.name}; give it some text")
    return corpus


def read_parallel(src_path: Path, tgt_path: Path) -> Corpus:
    """Read two files whose lines belong together; pairs with a blank side are dropped whole.

    Raises:
        DataError: a file is missing or not UTF-8, or the files differ in length.
    """
    src_bytes, tgt_bytes = read_bytes(src_path), read_bytes(tgt_path)
    src, tgt = decode_lines(src_bytes, src_path), decode_lines(tgt_bytes, tgt_path)
    if len(src) != len(tgt):
        if not src or not tgt:
            empty = tgt_path if src else src_path
            raise DataError(f"{empty}: empty; it needs a line for each of its partner's")
        line = _find_misalignment(src, tgt) + 1
        raise DataError(
            f"{src_path} has {len(src)} lines, {tgt_path} has {len(tgt)}; parallel files need one "
            f"sentence per line; they seem to part at line {line}"
        )
    pairs = [pair for pair in zip(src, tgt, strict=True) if pair[0].strip() and pair[1].strip()]
    origin = {
        str(path): hashlib.sha256(content).hexdigest()
        for path, content in ((src_path, src_bytes), (tgt_path, tgt_bytes))
    }
    return Corpus(
        name="-".join(part for part in (src_path.parent.name, _stem(src_path)) if part),
        src=[pair[0] for pair in pairs],
        tgt=[pair[1] for pair in pairs],
        num_blank=len(src) - len(pairs),
        origin=origin,
    )


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, blank ones included.

    Raises:
        DataError: the file is missing, unreadable, or not UTF-8.
    """
    return decode_lines(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`.

    Raises:
        DataError: the file is missing, unreadable or a damaged archive.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def decode_lines(content: bytes, where: Path) -> list[str]:
    r"""Split at `\n`, decode UTF-8; a BOM, and the CR of CRLF, are taken off.

    Raises:
        DataError: some bytes are not UTF-8; the message names file, line and byte.
    """
    raw_lines = content.removeprefix(BOM).split(b"\n")
    if raw_lines[-1] == b"":
        raw_lines.pop()
    lines = []
    for number, raw in enumerate(raw_lines, start=1):
        try:
            lines.append(raw.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}:{number}: byte {error.start + 1} (0x{raw[error.start]:02x}) is not "
                "UTF-8; convert the file, for instance with iconv -f GB18030 -t UTF-8"
            ) from error
    return lines


def _hold_out(train: Corpus, shares: dict[str, float]) -> tuple[Corpus, dict[str, Corpus]]:
    """Split off shares of the pairs by a hash of the source sentence: stable, and disjoint."""
    if sum(shares.values()) >= 1:
        raise DataError("data.valid and data.test hold out everything; leave some pairs to train")
    names = [*shares, "train"]
    bounds = list(accumulate(shares.values()))
    parts: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    for pair in zip(train.src, train.tgt, strict=True):
        digest = hashlib.sha256(pair[0].encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        parts[names[sum(place >= bound for bound in bounds)]].append(pair)
    for name, pairs in parts.items():
        if not pairs:
            raise DataError(f"data.{name}: {len(train)} pairs are too few to hold out such a share")
    corpora = {
        name: Corpus(
            name=f"{train.name}-{name}",
            src=[src for src, _ in pairs],
            tgt=[tgt for _, tgt in pairs],
            num_blank=0,
            # Its own hash: another share is other data, though the files are the same.
            origin={f"{'+'.join(train.origin)}#{name}": _hash_pairs(pairs)},
        )
        for name, pairs in parts.items()
    }
    rest = replace(corpora.pop("train"), name=train.name, num_blank=train.num_blank)
    return rest, corpora


@cache
def _phrasebook() -> Splits:
    return expand_phrasebook()


def _hash_pairs(pairs: list[tuple[str, str]]) -> str:
    return hashlib.sha256("\n".join(f"{src}\t{tgt}" for src, tgt in pairs).encode()).hexdigest()


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _find_misalignment(src: list[str], tgt: list[str]) -> int:
    """The line (from 0) where the shorter file most likely lost its first line.

    Sentences and their translations have lengths in a steady ratio. For every cut, compare the
    lengths line by line before it, and shifted by the missing lines after it; the best cut wins.
    """
    if len(src) > len(tgt):
        src, tgt = tgt, src
    shift = len(tgt) - len(src)
    ratio = math.log((sum(map(len, tgt)) + 1) / (sum(map(len, src)) + 1))

    def cost(short: str, long: str) -> float:
        return min(2.0, abs(math.log((len(long) + 1) / (len(short) + 1)) - ratio))

    straight = [cost(s, t) for s, t in zip(src, tgt, strict=False)]
    shifted = [cost(s, t) for s, t in zip(src, tgt[shift:], strict=True)]
    before = list(accumulate(straight, initial=0.0))
    after = list(accumulate(reversed(shifted), initial=0.0))[::-1]
    return min(range(len(src) + 1), key=lambda cut: before[cut] + after[cut])
