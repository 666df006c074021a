"""Language codes: `zh-TW`, `zho` and `cmn` are Chinese to a tokeniser."""

import re

_ALIASES = {
    **dict.fromkeys(("zho", "chi", "cmn", "yue", "wuu", "gan", "hsn"), "zh"),
    **{"jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo", "khm": "km", "mya": "my", "bur": "my"},
    **{"bod": "bo", "tib": "bo", "dzo": "dz", "iii": "ii"},
    **{"eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es"},
    **{"ita": "it", "por": "pt", "rus": "ru", "nld": "nl", "dut": "nl", "ces": "cs", "cze": "cs"},
}


_MANY_CHARACTERS = {"zh", "lzh", "ja", "ko"}

_WITHOUT_SPACES = {
    *("zh", "lzh", "ja", "ii"),
    *("th", "tts", "sou", "nod", "lo", "khb", "tdd", "blt"),  # Thai, Lao and Tai scripts
    *("my", "mnw", "shn", "rki", "kht", "aio"),  # Myanmar script
    *("km", "bo", "dz"),
}
"""Languages written without spaces between words."""


def base_language(lang: str) -> str:
    """The two-letter code of a language, without region or script, where there is one."""
    code = re.split("[-_]", lang.lower())[0]
    return _ALIASES.get(code, code)


def has_many_characters(lang: str) -> bool:
    """Whether a language is written with thousands of characters, many of them rare."""
    return base_language(lang) in _MANY_CHARACTERS


def is_chinese(lang: str) -> bool:
    """Whether a language is written in simplified or traditional Chinese script."""
    return base_language(lang) in {"zh", "lzh"}


def is_written_without_spaces(lang: str) -> bool:
    """Whether a language is written without spaces between words."""
    return base_language(lang) in _WITHOUT_SPACES
