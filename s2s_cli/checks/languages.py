"""Languages in the names of files and table columns: `train.de.gz` is German."""

import re
from pathlib import Path
from typing import NamedTuple

from s2s_cli.sources import (
    Direction,
    EmbeddedPhrasebook,
    ParallelFiles,
    Source,
    TableFile,
    targets_of,
)
from s2s_cli.text.language import base_language

# ISO 639-1, and codes of ISO 639-3 for languages that are often translated.
_CODES = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia
    id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo
    lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl
    ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk
    tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    ara arb ben bul ell est fas fil fin guj heb hin hrv hun hye ind kat kaz lit lav lzh mal mar mkd
    msa nep nob pan pes pol ron slk slv spa sqi srp swe swh tam tel tgl tur ukr urd uzn vie
"""
CODES = frozenset(_CODES.split())

COMPRESSION_SUFFIXES = frozenset((".gz", ".bz2", ".xz", ".zst", ".zip"))
TEXT_SUFFIXES = frozenset((".txt", ".text", ".tok", ".raw", ".clean"))

LOWERCASE_REGIONS = frozenset(("br", "cn", "hk", "tw", "us", "gb", "ca", "mx"))
"""Regions that may be in lower case. Others must not, because `de-en` is two languages."""

_CODE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Z][a-z]{3}))?(?:[-_]([A-Z]{2}|[a-z]{2}|[0-9]{3}))?")


def parse_code(text: str) -> str | None:
    """Parse a language code such as `de`, `zh_CN` or `sr-Latn`; None if the text is not a code."""
    found = _CODE.fullmatch(text)
    if found is None:
        return None
    lang, region = found[1].lower(), found[3]
    if region is not None and region.islower() and region not in LOWERCASE_REGIONS:
        return None
    is_known = lang in CODES or base_language(lang) in CODES
    return lang + text[len(lang) :] if is_known else None


def language_of_name(name: str) -> str | None:
    """Find the language code at the end of a file name, before suffixes such as `.txt` and `.gz`.

    A name without suffixes may itself be a code: `de.txt`.
    """
    path = Path(name)
    if path.suffix.lower() in COMPRESSION_SUFFIXES:
        path = path.with_suffix("")
    while path.suffix.lower() in TEXT_SUFFIXES:
        path = path.with_suffix("")
    return parse_code(path.suffix.removeprefix(".") or path.name)


class NamedSide(NamedTuple):
    """One side of a source, and the language in its name."""

    side: str
    """`src` or `tgt`."""
    name: str
    """Of the file or the column."""
    lang: str
    """Its language according to the recipe or an option."""
    found: str | None
    """Its language according to its name; None if the name has no language."""

    @property
    def is_contradictory(self) -> bool:
        """Whether name and recipe have different languages."""
        return self.found is not None and base_language(self.found) != base_language(self.lang)


def find_named_sides(source: Source, direction: Direction) -> list[NamedSide]:
    """Return both sides of a source, with the languages in their names; none for the phrasebook."""
    match source:
        case EmbeddedPhrasebook():
            return []
        case ParallelFiles():
            names = [Path(str(name)).name for name in (source.src, targets_of(source)[0])]
            found = [language_of_name(name) for name in names]
        case TableFile():
            names = [str(name) for name in (source.src, targets_of(source)[0])]
            found = [parse_code(name) for name in names]
    return [
        NamedSide(side, name, lang, code)
        for side, name, lang, code in zip(Direction._fields, names, direction, found, strict=True)
    ]
