"""Whether text is in the script of its language."""

from pathlib import Path

import pytest

from s2s_cli.checks.languages import language_of_name
from s2s_cli.checks.scripts import (
    LetterCounts,
    count_letters,
    count_letters_by_line,
    find_script_misfits,
    fits_language,
    measure_fit,
    script_of,
    scripts_of,
)
from s2s_cli.data.lines import read_lines
from s2s_cli.data.tables import stream_table
from s2s_cli.sources import Direction, TableFile

TEXTS = {
    "en": "The dog sleeps on the mat.",
    "de": "Der Hund schläft auf der Matte.",
    "vi": "Con chó ngủ trên chiếu.",
    "tr": "Köpek paspasın üzerinde uyuyor.",
    "zh": "狗睡在垫子上。",
    "lzh": "犬臥於席。",
    "ja": "犬はマットの上で寝ています。",
    "ko": "개가 매트 위에서 자고 있다.",
    "ru": "Собака спит на коврике.",
    "uk": "Собака спить на килимку.",
    "el": "Ο σκύλος κοιμάται στο χαλάκι.",
    "ar": "الكلب ينام على السجادة.",
    "fa": "سگ روی فرش می‌خوابد.",
    "he": "הכלב ישן על המחצלת.",
    "hi": "कुत्ता चटाई पर सोता है।",
    "th": "สุนัขนอนบนเสื่อ",
    "lo": "ໝານອນເທິງເສື່ອ",
    "km": "ឆ្កែដេកលើកន្ទេល",
    "my": "ခွေးက ဖျာပေါ်မှာ အိပ်နေတယ်။",
    "bo": "ཁྱི་གདན་སྟེང་ལ་ཉལ།",
    "ka": "ძაღლი ხალიჩაზე სძინავს.",
    "hy": "Շունը քնում է գորգի վրա։",
    "am": "ውሻው ምንጣፉ ላይ ይተኛል።",
    "bn": "কুকুরটি মাদুরে ঘুমায়।",
    "ta": "நாய் பாயில் தூங்குகிறது.",
}


def text_of(*lines: str) -> LetterCounts:
    return count_letters_by_line(lines * 30)


@pytest.mark.parametrize("lang", TEXTS)
def test_a_text_fits_its_language_and_no_language_in_another_script(lang: str) -> None:
    text = text_of(TEXTS[lang])
    assert measure_fit(text, lang) == 1
    for other in TEXTS:
        expected = scripts_of(other) == scripts_of(lang)
        assert fits_language(text, other) == expected, other


def test_every_side_of_the_real_corpora_fits(real_data: Path) -> None:
    langs = {"chinese": "zh", "kdconv": "zh", "english": "en", "simplif": "en", "sentiment": "en"}
    paths = [path for path in sorted(real_data.glob("*/*")) if path.suffix not in (".csv", ".txt")]
    assert len(paths) > 40
    for path in paths:
        known = (code for name, code in langs.items() if name in str(path))
        lang = language_of_name(path.name) or next(known)
        lines = read_lines(path)[:2000]
        for first in range(0, len(lines), 100):
            assert measure_fit(count_letters_by_line(lines[first : first + 100]), lang) > 0.9, path
    table = TableFile(file="x.csv", src="english", tgt="french")
    rows = list(stream_table(table, real_data / "en-fr-csv" / "english_french_dataset.csv", []))
    for side, lang in enumerate(("en", "fr")):
        assert measure_fit(count_letters_by_line(row[side] for row in rows[:2000]), lang) > 0.99


def test_loan_words_and_mixed_text_fit() -> None:
    mixed = text_of(
        "这个 feature 的 deadline 是 Friday，先 commit 再 push。",
        "我的 iPhone 12 Pro Max 和 Samsung Galaxy S21 Ultra",
        "我要看《Game of Thrones》😀😀😀",
        "12:30 @ 3.5% !!!",
    )
    assert fits_language(mixed, "zh")
    assert fits_language(
        text_of("I said 加油 to her, and 谢谢 to him.", "He likes 日本 food."), "en"
    )
    assert fits_language(text_of("Это очень cool смартфон Apple iPhone Pro Max", "Привет"), "ru")
    assert fits_language(text_of("今日の meeting は boring だった", "Python を使う"), "ja")
    assert fits_language(text_of("品川駅", "学校に行く", "東京都"), "ja")
    assert fits_language(
        text_of("动漫《となりのトトロ》是宫崎骏导演的一部非常有名的日本动画电影"), "zh"
    )
    assert fits_language(text_of("Tom は Mary が好き", "오늘 meeting이 있다"), "ja")


def test_text_without_letters_fits_every_language() -> None:
    text = text_of("12 + 30 = 42", "😀 !!! …", "", "。。。")
    assert text == []
    assert all(fits_language(text, lang) for lang in TEXTS)


def test_few_lines_and_unknown_languages_are_not_checked() -> None:
    assert fits_language(count_letters_by_line(["abc", "def"]), "zh")
    assert not fits_language(count_letters_by_line(["abc", "def", "ghi"]), "zh")
    assert fits_language(text_of("abc"), "xx")
    assert fits_language(text_of("abc"), "mul")


def test_a_language_code_may_contain_a_script() -> None:
    latin = text_of("Pas spava na prostirci.")
    assert fits_language(latin, "sr-Latn")
    assert fits_language(latin, "sr")
    assert not fits_language(latin, "sr_Cyrl")
    assert fits_language(text_of("nǐ hǎo"), "zh-Latn")
    assert fits_language(text_of(TEXTS["zh"]), "zh-Hant-TW")
    assert fits_language(text_of(TEXTS["zh"]), "yue")


def test_a_text_fits_if_most_of_its_lines_do() -> None:
    lines = [TEXTS["zh"]] * 60 + [TEXTS["en"]] * 40
    assert measure_fit(count_letters_by_line(lines), "zh") == 0.6
    assert fits_language(count_letters_by_line(lines), "zh")
    assert not fits_language(count_letters_by_line(lines), "en")


def test_letters_have_scripts_and_other_characters_do_not() -> None:
    assert script_of("ä") == script_of("Ａ") == "Latin"
    assert script_of("々") == script_of("㐂") == "Han"
    assert script_of("ー") == script_of("ｶ") == "kana"
    assert script_of("1") is script_of("。") is script_of("😀") is None
    assert count_letters("ab 狗") == {"Latin": 2, "Han": 3}


def test_swapped_sides_are_distinguished_from_one_wrong_side() -> None:
    zh, en, ru = (text_of(TEXTS[lang]) for lang in ("zh", "en", "ru"))
    assert find_script_misfits(Direction("zh", "en"), zh, en) == []
    swapped = find_script_misfits(Direction("zh", "en"), en, zh)
    assert [(one.side, one.found, one.is_swapped) for one in swapped] == [
        ("src", "Latin", True),
        ("tgt", "Han", True),
    ]
    (wrong,) = find_script_misfits(Direction("zh", "en"), zh, ru)
    assert wrong.side == "tgt"
    assert (wrong.expected, wrong.found, wrong.share, wrong.num_lines) == (
        "Latin",
        "Cyrillic",
        1.0,
        30,
    )
    assert not wrong.is_swapped
    both = find_script_misfits(Direction("zh", "en"), ru, ru)
    assert [(one.side, one.is_swapped) for one in both] == [("src", False), ("tgt", False)]
    assert find_script_misfits(Direction("de", "en"), en, en) == []
