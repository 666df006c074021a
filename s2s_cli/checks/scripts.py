"""Checks whether a text is in the script of its language.

Only letters count; digits, punctuation and emoji do not. Latin letters occur in texts of every
language. Therefore a line fits a language in Latin script if half of its letters are Latin, but a
language in another script if a tenth of its letters are in that script. A text fits if half of its
lines do.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from s2s_cli.sources import Direction
from s2s_cli.text.language import base_language

WEIGHTS = {"Han": 3, "kana": 2, "Hangul": 2}
"""How many letters a character counts as, in scripts whose characters are more than one sound."""

MIN_LINES = 3
"""Minimum number of lines with letters; shorter texts are not checked."""

KANA_LINES = 20
"""A Japanese text with this many lines has kana in some of them."""

KANA_SHARE = 0.25
"""Minimum share of kana among the kana and Han characters of a Japanese line. A Chinese line that
quotes a Japanese name has less."""

MAX_CHARACTERS = 1000
"""Number of characters checked, from the beginning of each line."""

_LATIN = """
    af ak an ay az bi bm br bs ca ceb ch co cs cy da de ee en eo es et eu ff fi fil fj fo fr fy ga
    gd gl gn gv ha haw ho hr ht hu hz ia id ie ig ik io is it jv ki kj kl kw la lb lg li ln lt lu lv
    mg mh mi ms mt na nb nd ng nl nn no nr nv ny oc om pl pt qu rm rn ro rw sc se sg sk sl sm sn so
    sq ss st su sv sw tk tl tn to tr ts tw ty ve vi vo wa wo xh yo za zu
    est fin hrv hun ind lit lav msa nob pol ron slk slv spa sqi swe swh tgl tur vie
"""
_OTHERS = {
    "Han": "zh lzh",
    "Hangul": "ko",
    "Cyrillic": "ab av ba be bg bul ce cv kv ky mk mkd os ru tg tt uk ukr",
    "Greek": "el ell",
    "Arabic": "ar ara arb fa fas pes ps sd ug ur urd",
    "Hebrew": "he heb yi",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Myanmar": "my",
    "Tibetan": "bo dz",
    "Devanagari": "hi hin mr mar ne nep sa",
    "Bengali": "as bn ben",
    "Gujarati": "gu guj",
    "Oriya": "or",
    "Tamil": "ta tam",
    "Telugu": "te tel",
    "Kannada": "kn",
    "Malayalam": "ml mal",
    "Sinhala": "si",
    "Ethiopic": "am ti",
    "Georgian": "ka kat",
    "Armenian": "hy hye",
    "Thaana": "dv",
}
_SCRIPTS = {
    **dict.fromkeys(_LATIN.split(), frozenset(("Latin",))),
    **{lang: frozenset((script,)) for script, langs in _OTHERS.items() for lang in langs.split()},
    "ja": frozenset(("kana", "Han")),
    **dict.fromkeys(("pa", "pan"), frozenset(("Gurmukhi", "Arabic"))),
    **dict.fromkeys(("sr", "srp", "kk", "kaz", "uz", "uzn"), frozenset(("Cyrillic", "Latin"))),
    "mn": frozenset(("Cyrillic", "Mongolian")),
}
"""The scripts of each language; text of other languages is not checked."""

_SUBTAGS = {
    **dict.fromkeys(("Hans", "Hant", "Hani"), frozenset(("Han",))),
    **{"Latn": frozenset(("Latin",)), "Cyrl": frozenset(("Cyrillic",))},
    **{"Arab": frozenset(("Arabic",)), "Deva": frozenset(("Devanagari",))},
}
"""Scripts in language codes, as in `sr-Latn`."""

_BY_NAME = {
    **{script.upper(): script for script in (*_OTHERS, "Latin", "Gurmukhi", "Mongolian")},
    **{"CJK": "Han", "IDEOGRAPHIC": "Han"},
    **dict.fromkeys(("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "kana"),
}
"""Scripts by the first word of the Unicode names of letters."""


@cache
def script_of(character: str) -> str | None:
    """Return the script of a letter; None for other characters, and for letters of rare scripts."""
    if not unicodedata.category(character).startswith("L"):
        return None
    first, *rest = unicodedata.name(character, "?").split()
    if first in ("FULLWIDTH", "HALFWIDTH") and rest:
        first = rest[0]
    return _BY_NAME.get(first)


def scripts_of(lang: str) -> frozenset[str] | None:
    """Return the scripts of a language; None if they are not known."""
    subtags = lang.replace("_", "-").split("-")[1:]
    named = next((_SUBTAGS[tag] for tag in subtags if tag in _SUBTAGS), None)
    return named or _SCRIPTS.get(base_language(lang))


def count_letters(line: str) -> dict[str, int]:
    """Count the letters of a line by script; in a Japanese line, Han characters count as `kana`."""
    counts: Counter[str] = Counter()
    for character, number in Counter(line[:MAX_CHARACTERS]).items():
        script = script_of(character)
        if script is not None:
            counts[script] += number * WEIGHTS.get(script, 1)
    kana, han = counts["kana"] // WEIGHTS["kana"], counts["Han"] // WEIGHTS["Han"]
    if kana and kana >= KANA_SHARE * (kana + han):
        counts["kana"] += counts.pop("Han", 0)
    return {script: count for script, count in counts.items() if count}


LetterCounts = Sequence[Mapping[str, int]]
"""For each line that has letters, their number by script."""


def count_letters_by_line(lines: Iterable[str]) -> LetterCounts:
    """Count the letters of each line, and leave out lines without letters."""
    return [counts for counts in map(count_letters, lines) if counts]


def measure_fit(text: LetterCounts, lang: str, min_lines: int = MIN_LINES) -> float:
    """Return the share of lines, 0 to 1, in a script of a language.

    It is 1 if the scripts of the language are not known, or if there are fewer than `min_lines`.
    """
    expected = scripts_of(lang)
    if expected is None or len(text) < min_lines:
        return 1.0
    min_share = 0.5 if "Latin" in expected else 0.1
    is_fitting = [
        sum(counts.get(script, 0) for script in expected) >= min_share * sum(counts.values())
        for counts in text
    ]
    if "kana" in expected and len(text) >= KANA_LINES:
        # A line without kana may be Japanese, but a text without kana is Chinese.
        num_kana = sum("kana" in counts for counts in text)
        if num_kana < 0.05 * len(text):
            return num_kana / len(text)
    return sum(is_fitting) / len(text)


def fits_language(text: LetterCounts, lang: str, min_lines: int = MIN_LINES) -> bool:
    """Return whether at least half of the lines are in a script of a language."""
    return measure_fit(text, lang, min_lines) >= 0.5


def main_script(text: LetterCounts) -> str:
    """Return the script of most lines."""
    return Counter(max(counts, key=counts.__getitem__) for counts in text).most_common(1)[0][0]


class ScriptMisfit(NamedTuple):
    """A side of parallel text that is not in the script of its language."""

    side: str
    """`src` or `tgt`."""
    lang: str
    expected: str
    """The scripts of the language."""
    found: str
    """The script of the text."""
    share: float
    """Share of the lines, 0 to 1, that are not in a script of the language."""
    num_lines: int
    """Number of lines checked."""
    is_swapped: bool
    """Whether each side is in the script of the other side's language."""


def find_script_misfits(
    direction: Direction, src: LetterCounts, tgt: LetterCounts
) -> list[ScriptMisfit]:
    """Return the sides of parallel text that are not in the script of their language."""
    is_swapped = all(
        scripts_of(lang) is not None and len(text) >= MIN_LINES and fits_language(text, lang)
        for text, lang in ((src, direction.tgt), (tgt, direction.src))
    )
    return [
        ScriptMisfit(
            side,
            lang,
            " or ".join(sorted(scripts_of(lang) or ())),
            main_script(text),
            1 - measure_fit(text, lang),
            len(text),
            is_swapped,
        )
        for side, lang, text in zip(Direction._fields, direction, (src, tgt), strict=True)
        if not fits_language(text, lang)
    ]
