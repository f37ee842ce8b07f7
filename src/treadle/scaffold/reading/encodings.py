"""Detect the encoding of a text that is not UTF-8: the one in which its words are the most likely.

Each encoding was made for some languages. A word is likely in one that has all of its letters, with no other script
and no capital in the middle. What is known to be more frequent weighs more, but little: a few words outweigh it. On
short texts, such as the names of columns, this is right where `charset-normalizer` takes "año" for Polish.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from treadle.experiment.spec import Encoding

LIKELY = 0.6  # probability of an encoding, from which it is taken
_LINE = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_WORD = re.compile(r"[^\s,;|\"'\d]*[^\x00-\x7f][^\s,;|\"'\d]*")
_MAX_LINES, _MAX_LENGTH = 500, 10_000  # lines that are scored, and characters of one
_FOREIGN = math.log(1 / 2_000)  # a letter that no language of the encoding has
_MIXED = math.log(1 / 200)  # two scripts in one word, or a capital after a small letter
_CAPITAL = math.log(1 / 4)  # one with an accent
_LATIN = 26  # letters beyond ASCII, of which languages with another script have more
_PLAIN, _MARK = math.log(1 / 26), math.log(1 / 200)  # a letter of ASCII in a word, and one of its signs
_WIDEST = 1_000  # letters of a language, from which it is one of East Asia, where Latin letters stand in words
_OTHERS = 2  # encodings that are named beside the likeliest
_POOR = 0.34  # share of words with something foreign, from which no encoding is likely

_LANGUAGES = {
    "French": "àâæçéèêëîïôœùûüÿ",
    "German": "äöüß",
    "Spanish": "áéíñóúü",
    "Portuguese": "áâãàçéêíóôõúü",
    "Italian": "àèéìíîòóùú",
    "Nordic": "åäöæøé",
    "Icelandic": "áðéíóúýþæö",
    "Dutch": "éëïóöüáíú",
    "Polish": "ąćęłńóśźż",
    "Czech": "áčďéěíňóřšťúůýž",
    "Slovak": "áäčďéíĺľňóôŕšťúýž",
    "Hungarian": "áéíóöőúüű",
    "Croatian": "čćđšž",
    "Romanian": "ăâîşţșț",
    "Turkish": "çğıöşüİâî",
    "Lithuanian": "ąčęėįšųūž",
    "Latvian": "āčēģīķļņšūž",
    "Estonian": "äõöüšž",
    "Russian": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "Ukrainian": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "Bulgarian": "абвгдежзийклмнопрстуфхцчшщъьюя",
    "Serbian": "абвгдђежзијклљмнњопрстћуфхцчџш",
    "Greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
    "Hebrew": "אבגדהוזחטיךכלםמןנסעףפץצקרשת",
    "Arabic": "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگ",
    "Thai": "".join(chr(code) for code in range(0x0E01, 0x0E4F)),
}
_RARE = {"Icelandic": 0.01}  # else Turkish would be taken for it
_NORTH_WEST = ("French", "German", "Spanish", "Portuguese", "Italian", "Nordic", "Icelandic", "Dutch")
_CENTRE = ("Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Romanian", "German")
_SLAVIC = ("Russian", "Ukrainian", "Bulgarian", "Serbian")
_BALTIC = ("Lithuanian", "Latvian", "Estonian", "Polish", "German")
# Each with how frequent it is among tables that are not in UTF-8, about, and the languages that it was made for.
ENCODINGS: dict[Encoding, tuple[float, tuple[str, ...]]] = {
    "windows-1252": (1.0, _NORTH_WEST),
    "windows-1251": (0.3, _SLAVIC),
    "windows-1250": (0.2, _CENTRE),
    "windows-1253": (0.1, ("Greek",)),
    "windows-1254": (0.1, ("Turkish",)),
    "windows-1255": (0.1, ("Hebrew",)),
    "windows-1256": (0.1, ("Arabic",)),
    "windows-1257": (0.1, _BALTIC),
    "iso-8859-2": (0.1, _CENTRE),
    "iso-8859-5": (0.02, _SLAVIC),
    "iso-8859-7": (0.05, ("Greek",)),
    "iso-8859-15": (0.02, _NORTH_WEST),
    "koi8-r": (0.1, ("Russian",)),
    "koi8-u": (0.05, ("Ukrainian", "Russian")),
    "cp866": (0.05, ("Russian",)),
    "cp437": (0.02, _NORTH_WEST),
    "cp850": (0.05, _NORTH_WEST),
    "cp852": (0.03, _CENTRE),
    "mac-roman": (0.1, _NORTH_WEST),
    "mac-cyrillic": (0.02, _SLAVIC),
    "cp874": (0.1, ("Thai",)),
    "cp932": (0.1, ("Japanese",)),
    "euc-jp": (0.03, ("Japanese",)),
    "gb18030": (0.1, ("Chinese",)),
    "big5": (0.1, ("Taiwanese",)),
    "cp949": (0.1, ("Korean",)),
}
_WIDE = ("cp932", "euc-jp", "gb18030", "big5", "cp949")  # of one or two bytes a letter
# Signs that stand in texts of every language.
_APOSTROPHES = "\u2019\u2018\u00b7\u2013\u00a0"  # and what else may stand inside a word
_SIGNS = frozenset(f"{_APOSTROPHES}€£¥§©®°²³µ—\u201a“”„…•™‰«»¿¡±\u00d7÷½¼¾ºª\u00b4¨№")
_SIGN_INSIDE = re.compile(f"[^\\W\\d_][{''.join(sorted(_SIGNS - set(_APOSTROPHES)))}][^\\W\\d_]")


@dataclass(frozen=True)
class Guess:
    """An encoding, and how sure that is."""

    name: Encoding
    confidence: float  # probability that a text is meant as this encoding reads it
    sample: str  # some words as it reads them
    others: tuple[str, ...] = ()  # the next likely ones that read other letters, with the same words


def guess_encoding(chunks: Iterable[bytes]) -> Guess | None:
    """The most likely of the encodings; None where none of them can decode the bytes, or they are not text.

    Args:
        chunks: of the file, one after another.
    """
    lines, used = _collect(chunks)
    if 0 in used:
        return None
    readings: dict[str, _Reading] = {}  # by the words that it gives
    for name, (prior, languages) in ENCODINGS.items():
        if (text := _decode(name, lines, used)) is None:
            continue
        words = list(dict.fromkeys(_WORD.findall(text)))
        likelihood, is_poor = _score_words(words, languages)
        reading = _Reading(name, math.log(prior) + likelihood, is_poor)
        key = "\n".join(words)
        readings[key] = max(reading, readings.get(key, reading), key=lambda one: one.score)
    ranked = sorted(readings.items(), key=lambda item: -item[1].score)
    if not ranked:
        return None
    (text, best), rest = ranked[0], ranked[1:]
    total = sum(math.exp(reading.score - best.score) for reading in readings.values())
    others = tuple(f"{reading.name} {_show(words)}" for words, reading in rest[:_OTHERS])
    return Guess(best.name, 0.0 if best.is_poor else 1 / total, _show(text), others)


@dataclass(frozen=True)
class _Reading:
    name: Encoding
    score: float  # logarithm of its likelihood
    is_poor: bool  # whether many words are implausible


def _collect(chunks: Iterable[bytes]) -> tuple[list[bytes], set[int]]:
    """Different lines that hold more than ASCII, and all bytes that occur."""
    lines: dict[bytes, None] = {}
    used: set[int] = set()
    rest = b""  # of a line that the next chunk goes on with
    for chunk in chunks:
        used.update(chunk)
        if len(lines) < _MAX_LINES:
            begun = rest + chunk
            end = max(begun.rfind(b"\n"), begun.rfind(b"\r")) + 1
            lines |= _find_lines(begun[:end])
            rest = begun[end:][:_MAX_LENGTH]
    lines |= _find_lines(rest)
    return list(lines)[:_MAX_LINES], used


def _find_lines(text: bytes) -> dict[bytes, None]:
    return dict.fromkeys(line[:_MAX_LENGTH] for line in _LINE.findall(text)[:_MAX_LINES])


def _decode(name: str, lines: list[bytes], used: set[int]) -> str | None:
    try:
        if name in _WIDE:
            return "\n".join(
                line.decode(name, errors="strict" if len(line) < _MAX_LENGTH else "ignore") for line in lines
            )
        bytes(sorted(used)).decode(name)
        return b"\n".join(lines).decode(name)
    except UnicodeDecodeError:
        return None


def _score_words(words: list[str], languages: tuple[str, ...]) -> tuple[float, bool]:
    """The likelihood of the words in the best of some languages, and whether many are implausible."""
    scores = []
    for language in languages:
        each = [_score_word(word, _letters(language)) for word in words]
        odd = sum(is_odd for _, is_odd in each)
        rare = math.log(_RARE.get(language, 1.0))
        scores.append((rare + sum(score for score, _ in each), odd > _POOR * len(words)))
    return max(scores)


def _score_word(word: str, letters: frozenset[str]) -> tuple[float, bool]:
    score, odd, is_latin, is_wide = 0.0, False, len(letters) < _LATIN, len(letters) > _WIDEST
    for letter in word:
        if letter.isascii():
            score += _PLAIN if letter.isalpha() else _MARK
            continue
        known = letter.lower() in letters or letter in letters
        score += -math.log(max(_LATIN, len(letters))) + (0.0 if known or letter in _SIGNS else _FOREIGN)
        score += _CAPITAL if is_latin and letter.isupper() else 0.0
        odd = odd or not (known or letter in _SIGNS)
    for before, after in pairwise(word):
        if not (before.isascii() and after.isascii()) and before.isalpha() and after.isalpha():
            mixed = not is_wide and before.isascii() != after.isascii() and _is_far(before + after)
            if mixed or (before.islower() and after.isupper()):
                score, odd = score + _MIXED, True
    if _SIGN_INSIDE.search(word) or _has_odd_capitals(word):
        score, odd = score + _MIXED, True
    return score, odd


def _has_odd_capitals(word: str) -> bool:
    """Two capitals and a small letter, one of them beyond ASCII."""
    triples = (word[index : index + 3] for index in range(len(word) - 2))
    return any(
        not part.isascii() and part[:2].isupper() and part[:2].isalpha() and part[2].islower() for part in triples
    )


def _is_far(pair: str) -> bool:
    """Whether one of two letters is Latin, and the other is not."""
    return any(letter > "\u024f" for letter in pair)


@cache
def _letters(language: str) -> frozenset[str]:
    if language in _LANGUAGES:
        return frozenset(_LANGUAGES[language])
    return frozenset(_list_wide(language))


def _list_wide(language: str) -> Iterator[str]:
    """The frequent signs and letters of East Asia: the first level of each national standard, by its rows."""
    codec, rows = {
        "Japanese": ("euc-jp", (0xA1, 0xA3, 0xA4, 0xA5, *range(0xB0, 0xD0))),
        "Chinese": ("gb2312", (0xA1, 0xA3, *range(0xB0, 0xD8))),
        "Taiwanese": ("big5", range(0xA1, 0xC7)),
        "Korean": ("euc-kr", (0xA1, *range(0xB0, 0xC9))),
    }[language]
    for row in rows:
        for cell in (*range(0x40, 0x7F), *range(0xA1, 0xFF)) if codec == "big5" else range(0xA1, 0xFF):
            yield bytes((row, cell)).decode(codec, errors="ignore")


def _show(text: str) -> str:
    return ", ".join(repr(word) for word in text.split("\n")[:3] if word)
