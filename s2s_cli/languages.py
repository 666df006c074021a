"""Names of languages, for those who write them in place of a code."""

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
    # Codes of countries.
    "cn": "zh",
    "jp": "ja",
}


def suggest_code(text: str) -> str | None:
    """The code that a name of a language, or of two as in `Chinese-English`, stands for."""
    parts = [part.strip() for part in text.split("-")]
    codes = [_CODES.get(part.lower(), part) for part in parts]
    if len(codes) == 1 and len(text) <= 3:
        codes = [codes[0].lower()]
    is_region = len(codes) > 1 and len({*codes}) == 1  # `zh-CN`
    return "-".join(codes) if codes != parts and not is_region else None
