"""Normalising a sentence: everything that a model's text does not keep of the original.

Tokenisers only cut what this returns, so detokenising gives back exactly this, for any text.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import regex

from s2s_cli.errors import ConfigError
from s2s_cli.text.language import is_chinese

Form = Literal["nfc", "nfkc", "none"]
Script = Literal["keep", "simplified", "traditional"]

BYTE_ORDER_MARK = "\ufeff"
"""At the start of a line it is no text; readers of files drop it, too."""

CHARACTER = regex.compile(r"\X")
"""A character as a reader sees it, with all its marks."""

_OPENCC_CONFIGS = {"simplified": "t2s", "traditional": "s2t"}


@dataclass(frozen=True)
class Normalizer:
    """What a sentence loses before it is cut into tokens.

    Composed or decomposed characters, runs of white space and white space at the ends always
    count as the same; letter case and Chinese script where a recipe says so.
    """

    lang: str
    lowercase: bool = False
    form: Form = "nfc"
    """Unicode normalisation form; `none` keeps the code points as they are."""
    chinese: Script = "keep"
    """Script that Chinese text is converted to."""

    def __call__(self, sentence: str) -> str:
        """The sentence as it is cut into tokens; normalising it again changes nothing.

        Raises:
            ConfigError: converting the script needs a package that is not installed.
        """
        cased = self.keep_case(sentence)
        return self._compose(cased.lower()) if self.lowercase else cased

    def keep_case(self, sentence: str) -> str:
        """The same in the letter case of the original.

        Raises:
            ConfigError: converting the script needs a package that is not installed.
        """
        text = self._compose(sentence)
        if self.chinese != "keep" and is_chinese(self.lang):
            text = self._compose(_load_converter(self.chinese)(text))
        return " ".join(text.split()).lstrip(f"{BYTE_ORDER_MARK} ")

    def trace(self, sentence: str) -> list[tuple[int, int]] | None:
        """For each character of the normalised sentence the slice of the original it comes from.

        None where they cannot be told apart, as in some compatibility characters.
        """
        places: list[tuple[int, int]] = []
        gap: tuple[int, int] | None = None
        for match in CHARACTER.finditer(sentence):
            start, end = match.span()
            cluster = self(match.group())
            if not cluster:
                gap = gap or (start, end)
                continue
            if gap and places:
                places.append(gap)
            gap = None
            is_plain = len(cluster) == end - start
            places += [
                (start + i, start + i + 1) if is_plain else (start, end)
                for i in range(len(cluster))
            ]
        return places if len(places) == len(self(sentence)) else None

    def _compose(self, text: str) -> str:
        match self.form:
            case "nfc":
                return unicodedata.normalize("NFC", text)
            case "nfkc":
                return unicodedata.normalize("NFKC", text)
            case "none":
                return text


@cache
def _load_converter(script: Script) -> Callable[[str], str]:
    """OpenCC's conversion to a script, phrase by phrase.

    Raises:
        ConfigError: OpenCC is not installed.
    """
    try:
        import opencc  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ConfigError(
            f"text.chinese {script}: needs OpenCC, which is not installed; "
            'pip install "s2s-cli[zh]", or set text.chinese to keep'
        ) from error
    convert: Callable[[str], str] = opencc.OpenCC(_OPENCC_CONFIGS[script]).convert
    return convert
