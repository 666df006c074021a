"""Where sentence pairs come from: the kinds of sources that a split of a recipe may name."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from s2s_cli.section import FilePath, Section, Share, Size

_CODE = r"[a-z]{2,3}(_[A-Za-z0-9]+)*"
DirectionName = Annotated[str, StringConstraints(pattern=rf"^{_CODE}-{_CODE}$")]
Weight = Annotated[float, Field(gt=0)]

OnBadUtf8 = Literal["error", "skip"]
"""How to treat a training pair with bytes that are not UTF-8."""

SEVERAL_LANGUAGES = "mul"
"""Stands for more than one language, as in ISO 639-2."""


class Direction(NamedTuple):
    """A direction of translation."""

    src: str
    tgt: str

    def __str__(self) -> str:
        """The name, such as `de-en`; a region follows a `_`, as in `zh_TW-en`."""
        return f"{plain_code(self.src)}-{plain_code(self.tgt)}"


def plain_code(lang: str) -> str:
    """A language code without hyphens, which separate two languages: `zh_TW` for `zh-TW`."""
    return lang.replace("-", "_")


def parse_directions(names: tuple[str, ...]) -> tuple[Direction, ...]:
    """Parse names such as `de-en`."""
    return tuple(Direction(*name.split("-")) for name in names)


# A function selects the member of every union below, so that an error is about the kind meant.


def _kind_of_column(value: object) -> str:
    return "number" if isinstance(value, int) else "name"


def _one_or_list(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "one"


Column = Annotated[
    Annotated[Size, Tag("number")] | Annotated[str, StringConstraints(min_length=1), Tag("name")],
    Discriminator(_kind_of_column),
]
Files = Annotated[
    Annotated[FilePath, Tag("one")]
    | Annotated[tuple[FilePath, ...], Field(strict=False, min_length=1), Tag("list")],
    Discriminator(_one_or_list),
]
Columns = Annotated[
    Annotated[Column, Tag("one")]
    | Annotated[tuple[Column, ...], Field(strict=False, min_length=1), Tag("list")],
    Discriminator(_one_or_list),
]


class ParallelFiles(Section):
    """Pairs from text files with one sentence per line (UTF-8, `.gz` accepted)."""

    src: FilePath
    """Source sentences."""
    tgt: Files
    """Translations: line i belongs to line i of `src`; a list names several references."""
    weight: Weight = 1.0
    """How often an epoch uses a training pair; a fraction samples that share in every epoch."""
    direction: DirectionName | None = None
    """Direction of these pairs, such as `de-en`; not needed if file names have `{src}`, `{tgt}`."""


class TableFile(Section):
    """Pairs from one file with a pair per row: TSV, CSV or JSON lines (UTF-8, `.gz` accepted)."""

    file: FilePath
    """The table."""
    src: Column
    """Column of the source sentences: its name, or its number from 1; a field in JSON lines."""
    tgt: Columns
    """Column of the translations; a list names several references, the main one first."""
    format: Literal["auto", "tsv", "csv", "jsonl"] = "auto"
    """`tsv`, `csv` or `jsonl`; `auto` chooses by the file name."""
    header: bool | None = None
    """Whether the first row names the columns; null: in CSV, and in TSV if a column is named."""
    rows: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*-([1-9][0-9]*)?$")] | None = None
    """Rows to use, counted from 1 after the header: `1-8000`, or `8001-` for all from there on."""
    weight: Weight = 1.0
    """How often an epoch uses a training pair; a fraction samples that share in every epoch."""
    direction: DirectionName | None = None
    """Direction of these pairs, such as `de-en`; not needed if names have `{src}` and `{tgt}`."""

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        first, _, last = (self.rows or "1-").partition("-")
        if last and int(last) < int(first):
            raise ValueError(f"rows {self.rows} end before they start; exchange the numbers")
        return self


class EmbeddedPhrasebook(Section):
    """Pairs of the Chinese-English phrasebook in the package."""

    phrasebook: Literal["train", "valid", "test"]
    """Part of the phrasebook: 10,000 training, 500 validation or 500 test pairs."""
    weight: Weight = 1.0
    """How often an epoch uses a training pair; a fraction samples that share in every epoch."""
    direction: DirectionName | None = None
    """`zh-en`, or `en-zh` for the reversed pairs; not needed with one direction."""


def _kind_of_source(value: object) -> str:
    if isinstance(value, Section):
        return type(value).__name__
    keys = value if isinstance(value, dict) else {}
    if "phrasebook" in keys:
        return "EmbeddedPhrasebook"
    return "TableFile" if "file" in keys else "ParallelFiles"


def _kind_of_split(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else _kind_of_source(value)


def _kind_of_held_out(value: object) -> str:
    return "share" if isinstance(value, int | float) else _kind_of_split(value)


def _kind_of_optional(value: object) -> str:
    return "none" if value is None else _kind_of_held_out(value)


_Files = Annotated[ParallelFiles, Tag("ParallelFiles")]
_Table = Annotated[TableFile, Tag("TableFile")]
_Phrasebook = Annotated[EmbeddedPhrasebook, Tag("EmbeddedPhrasebook")]
_Share = Annotated[Share, Tag("share")]

Source = Annotated[_Files | _Table | _Phrasebook, Discriminator(_kind_of_source)]
_Sources = Annotated[tuple[Source, ...], Field(strict=False, min_length=1), Tag("list")]
Split = Annotated[_Files | _Table | _Phrasebook | _Sources, Discriminator(_kind_of_split)]


HeldOutSplit = Annotated[
    _Files | _Table | _Phrasebook | _Sources | _Share, Discriminator(_kind_of_held_out)
]
OptionalSplit = Annotated[
    _Files | _Table | _Phrasebook | _Sources | _Share | Annotated[None, Tag("none")],
    Discriminator(_kind_of_optional),
]


def sources_of(split: Split) -> tuple[Source, ...]:
    """The sources of a split, which is one source or a list."""
    return split if isinstance(split, tuple) else (split,)


def targets_of(source: ParallelFiles | TableFile) -> tuple[str | int, ...]:
    """The files or columns of a source's references, the main one first."""
    return source.tgt if isinstance(source.tgt, tuple) else (source.tgt,)
