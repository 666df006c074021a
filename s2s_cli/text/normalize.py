"""Normalise sentences before they are tokenised.

This is the only step that loses information: tokenisers only split the normalised sentence, so
detokenising returns exactly that, for any text.
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
"""Not part of the text at the start of a line; readers of files remove it as well."""

CHARACTER = regex.compile(r"\X")
"""A character as a reader sees it, with its combining marks (a grapheme cluster)."""

_OPENCC_CONFIGS = {"simplified": "t2s", "traditional": "s2t"}


@dataclass(frozen=True)
class Normalizer:
    """Normalises sentences of one language.

    Composes characters, turns runs of white space into one space, and strips the ends. If the
    recipe asks for it, lower-cases and converts Chinese between simplified and traditional script.
    """

    lang: str
    lowercase: bool = False
    form: Form = "nfc"
    """Unicode normalisation form; `none` keeps the code points."""
    chinese: Script = "keep"
    """Script that Chinese text is converted to."""

    def __call__(self, sentence: str) -> str:
        """Normalise a sentence; doing it twice changes nothing more.

        Raises:
            ConfigError: converting the script needs a package that is not installed.
        """
        cased = self.keep_case(sentence)
        return self._compose(cased.lower()) if self.lowercase else cased

    def keep_case(self, sentence: str) -> str:
        """Normalise everything but letter case.

        Raises:
            ConfigError: converting the script needs a package that is not installed.
        """
        text = self._compose(sentence)
        if self.chinese != "keep" and is_chinese(self.lang):
            text = self._compose(_load_converter(self.chinese)(text))
        return " ".join(text.split()).lstrip(f"{BYTE_ORDER_MARK} ")

    def trace(self, sentence: str) -> list[tuple[int, int]] | None:
        """Align the normalised sentence with the original.

        Returns:
            For each character of the normalised sentence the slice of the original that it comes
            from; None if that cannot be determined, as for some compatibility characters.
        """
        slices: list[tuple[int, int]] = []
        gap: tuple[int, int] | None = None
        for match in CHARACTER.finditer(sentence):
            start, end = match.span()
            cluster = self(match.group())
            if not cluster:
                gap = gap or (start, end)
                continue
            if gap and slices:
                slices.append(gap)
            gap = None
            is_plain = len(cluster) == end - start
            slices += [
                (start + i, start + i + 1) if is_plain else (start, end)
                for i in range(len(cluster))
            ]
        return slices if len(slices) == len(self(sentence)) else None

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
    """Load OpenCC's converter, which converts phrase by phrase.

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
