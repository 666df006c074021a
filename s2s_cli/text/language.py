"""Language codes: `zh-TW`, `zho` and `cmn` are Chinese to a tokeniser."""

import re

_ALIASES = {
    **dict.fromkeys(("zho", "chi", "cmn", "yue", "wuu"), "zh"),
    **{"jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo", "khm": "km", "mya": "my"},
    **{"eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es"},
    **{"ita": "it", "por": "pt", "rus": "ru", "nld": "nl", "dut": "nl", "ces": "cs", "cze": "cs"},
}


_MANY_CHARACTERS = {"zh", "lzh", "ja", "ko"}


def base_language(lang: str) -> str:
    """The two-letter code of a language, without region or script, where there is one."""
    code = re.split("[-_]", lang.lower())[0]
    return _ALIASES.get(code, code)


def has_many_characters(lang: str) -> bool:
    """Whether a language is written with thousands of characters, many of them rare."""
    return base_language(lang) in _MANY_CHARACTERS
