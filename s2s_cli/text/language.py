"""Language codes, and what they say about the script: `zh-TW`, `zho` and `cmn` are Chinese."""

import re

_ALIASES = {
    **dict.fromkeys(("zho", "chi", "cmn", "yue", "wuu", "gan", "hsn"), "zh"),
    **{"jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo", "khm": "km", "mya": "my", "bur": "my"},
    **{"bod": "bo", "tib": "bo", "dzo": "dz", "iii": "ii"},
    **{"eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es"},
    **{"ita": "it", "por": "pt", "rus": "ru", "nld": "nl", "dut": "nl", "ces": "cs", "cze": "cs"},
}

_LARGE_SCRIPTS = {"zh", "lzh", "ja", "ko"}

_WITHOUT_SPACES = {
    *("zh", "lzh", "ja", "ii"),
    *("th", "tts", "sou", "nod", "lo", "khb", "tdd", "blt"),  # Thai, Lao and Tai scripts
    *("my", "mnw", "shn", "rki", "kht", "aio"),  # Myanmar script
    *("km", "bo", "dz"),
}
"""Languages written without spaces between words."""

_CODES = {
    "arabic": "ar",
    "bulgarian": "bg",
    "burmese": "my",
    "cantonese": "yue",
    "chinese": "zh",
    "croatian": "hr",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "estonian": "et",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "khmer": "km",
    "korean": "ko",
    "lao": "lo",
    "latvian": "lv",
    "lithuanian": "lt",
    "malay": "ms",
    "mandarin": "zh",
    "norwegian": "no",
    "persian": "fa",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "serbian": "sr",
    "slovak": "sk",
    "slovenian": "sl",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "vietnamese": "vi",
    "中文": "zh",
    "汉语": "zh",
    "漢語": "zh",
    "英文": "en",
    "英语": "en",
    "deutsch": "de",
    "español": "es",
    "français": "fr",
    "italiano": "it",
    "português": "pt",
    "日本語": "ja",
    "한국어": "ko",
    # Country codes.
    "cn": "zh",
    "jp": "ja",
}
"""Codes by what people write instead."""


def base_language(lang: str) -> str:
    """Return the code of a language without region or script, of two letters if it has one."""
    code = re.split("[-_]", lang.lower())[0]
    return _ALIASES.get(code, code)


def has_many_characters(lang: str) -> bool:
    """Whether a language is written with thousands of characters, many of them rare."""
    return base_language(lang) in _LARGE_SCRIPTS


def is_chinese(lang: str) -> bool:
    """Whether a language is written in simplified or traditional Chinese script."""
    return base_language(lang) in {"zh", "lzh"}


def is_written_without_spaces(lang: str) -> bool:
    """Whether a language is written without spaces between words."""
    return base_language(lang) in _WITHOUT_SPACES


def suggest_code(text: str) -> str | None:
    """Return the code that a language name, or two as in `Chinese-English`, probably means."""
    parts = [part.strip() for part in text.split("-")]
    codes = [_CODES.get(part.lower(), part) for part in parts]
    if len(codes) == 1 and len(text) <= 3:
        codes = [codes[0].lower()]
    is_region = len(codes) > 1 and len({*codes}) == 1  # `zh-CN`
    return "-".join(codes) if codes != parts and not is_region else None
