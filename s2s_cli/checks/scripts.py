"""Whether a text is in the script of its language.

Letters are counted, so digits, punctuation and emoji do not matter. Latin letters stand in texts of
every language: a line fits a language of another script if a tenth of it is in that script, and a
language of Latin script if half of it is Latin. A side fits if half of its lines do.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from s2s_cli.sources import Direction
from s2s_cli.text.language import base_language

WEIGHTS = {"Han": 3, "kana": 2, "Hangul": 2}
"""How many letters a character stands for, where it is not a single sound."""

MIN_LINES = 3
"""With letters; fewer say nothing about a text."""

KANA_LINES = 20
"""From so many lines on, some of a Japanese text have kana."""

KANA_SHARE = 0.25
"""Of the Han and kana characters of a Japanese line; a quoted name in a Chinese one has fewer."""

MAX_CHARACTERS = 1000
"""Of a line that are looked at."""

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
"""In which scripts a language is written; the text of other languages is not checked."""

_SUBTAGS = {
    **dict.fromkeys(("Hans", "Hant", "Hani"), frozenset(("Han",))),
    **{"Latn": frozenset(("Latin",)), "Cyrl": frozenset(("Cyrillic",))},
    **{"Arab": frozenset(("Arabic",)), "Deva": frozenset(("Devanagari",))},
}
"""A language code may name its script: `sr-Latn`."""

_BY_NAME = {
    **{script.upper(): script for script in (*_OTHERS, "Latin", "Gurmukhi", "Mongolian")},
    **{"CJK": "Han", "IDEOGRAPHIC": "Han"},
    **dict.fromkeys(("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "kana"),
}
"""What the Unicode names of letters begin with."""


@cache
def script_of(character: str) -> str | None:
    """The script of a letter; None for all else, and for letters of rare scripts."""
    if not unicodedata.category(character).startswith("L"):
        return None
    first, *rest = unicodedata.name(character, "?").split()
    if first in ("FULLWIDTH", "HALFWIDTH") and rest:
        first = rest[0]
    return _BY_NAME.get(first)


def scripts_of(lang: str) -> frozenset[str] | None:
    """The scripts that a language is written in; None if that is not known."""
    subtags = lang.replace("_", "-").split("-")[1:]
    named = next((_SUBTAGS[tag] for tag in subtags if tag in _SUBTAGS), None)
    return named or _SCRIPTS.get(base_language(lang))


def weigh_scripts(line: str) -> dict[str, int]:
    """How much of a line is in which script; Japanese as a whole is `kana`."""
    weights: Counter[str] = Counter()
    for character, number in Counter(line[:MAX_CHARACTERS]).items():
        script = script_of(character)
        if script is not None:
            weights[script] += number * WEIGHTS.get(script, 1)
    kana, han = weights["kana"] // WEIGHTS["kana"], weights["Han"] // WEIGHTS["Han"]
    if kana and kana >= KANA_SHARE * (kana + han):
        weights["kana"] += weights.pop("Han", 0)
    return {script: weight for script, weight in weights.items() if weight}


class TextScripts(NamedTuple):
    """The scripts of some lines of a text; those without letters are left out."""

    lines: tuple[dict[str, int], ...]

    @classmethod
    def of(cls, lines: Iterable[str]) -> "TextScripts":
        """Count the letters of lines."""
        return cls(tuple(filter(None, map(weigh_scripts, lines))))

    def share_fitting(self, lang: str, min_lines: int = MIN_LINES) -> float:
        """Share of the lines, 0 to 1, in a script of the language; 1 if nothing can be said."""
        wanted = scripts_of(lang)
        if wanted is None or len(self.lines) < min_lines:
            return 1.0
        least = 0.5 if "Latin" in wanted else 0.1
        fitting = [
            sum(weights.get(script, 0) for script in wanted) >= least * sum(weights.values())
            for weights in self.lines
        ]
        if "kana" in wanted and len(fitting) >= KANA_LINES:
            with_kana = sum("kana" in weights for weights in self.lines)
            if with_kana < 0.05 * len(fitting):
                return with_kana / len(fitting)
        return sum(fitting) / len(fitting)

    def fits(self, lang: str, min_lines: int = MIN_LINES) -> bool:
        """Whether at least half of the lines are in a script of the language."""
        return self.share_fitting(lang, min_lines) >= 0.5

    def main_script(self) -> str:
        """The script of most lines."""
        return Counter(max(one, key=lambda s: one[s]) for one in self.lines).most_common(1)[0][0]


class ScriptMisfit(NamedTuple):
    """A side that is not in the script of its language."""

    side: str
    """`src` or `tgt`."""
    lang: str
    wanted: str
    """In which script the language is written."""
    found: str
    """In which script the text is."""
    share: float
    """Of the lines, 0 to 1, that are not in the script of the language."""
    num_lines: int
    """That were looked at."""
    is_swapped: bool
    """Whether the two sides fit each other's languages."""


def find_misfits(direction: Direction, src: TextScripts, tgt: TextScripts) -> list[ScriptMisfit]:
    """The sides of parallel text that are not in the script of their language."""
    is_swapped = all(
        scripts_of(lang) is not None and len(text.lines) >= MIN_LINES and text.fits(lang)
        for text, lang in ((src, direction.tgt), (tgt, direction.src))
    )
    return [
        ScriptMisfit(
            side,
            lang,
            " or ".join(sorted(scripts_of(lang) or ())),
            text.main_script(),
            1 - text.share_fitting(lang),
            len(text.lines),
            is_swapped,
        )
        for side, lang, text in zip(Direction._fields, direction, (src, tgt), strict=True)
        if not text.fits(lang)
    ]
