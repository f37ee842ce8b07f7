"""Numbers with a currency, a unit, a percent sign, a power of ten or another minus sign beside them.

What stands beside the digits is taken off, so that the digits can be looked at alone; a column has one unit, or none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from treadle.data.number_formats import BLANKS, DASHES

_SYMBOLS = "$€£¥₹₽₩₺₴₦₫₱฿₪₡₲₵₸₼₾₿¢"
_RUBLES = ("\u0440\u0443\u0431", "\u0440\u0443\u0431.", "\u0440.")  # rub, rub., r. in Cyrillic
_NAMES = """
    usd eur gbp jpy chf cad aud nzd sek nok dkk pln czk huf ron bgn rub uah try inr cny rmb krw brl mxn zar sgd hkd twd
    thb idr ils aed sar egp ngn kes php myr vnd clp cop ars pen btc kr kr. rs rs. fr fr. sfr sfr. zł kč ft lei tl
    euro euros dollar dollars
"""
_MEASURES = """
    % ‰ + ° °c °f ordinal mg g kg t lb oz mm cm m km ft in mi yd µm nm ml cl dl l gal m² m2 m³ m3 cm² cm2 km² km2
    ft² ft2 sqft sqm ha ac ms sec min hour day week month year
    hz khz mhz ghz b kb mb gb tb kib mib gib w kw mw kwh mwh v kv a ma mah ah ω n nm pa hpa kpa bar psi kcal cal j kj hp
    ps bhp rpm px dpi ppm bpm mph kph km/h kmh m/s kmpl pt pcs bps db
"""
_CURRENCIES, _UNITS = frozenset((*_NAMES.split(), *_RUBLES)), frozenset(_MEASURES.split())
_SAME = {
    **dict.fromkeys(("$", "us$", "dollar", "dollars"), "usd"),
    **dict.fromkeys(("€", "euro", "euros"), "eur"),
    **dict.fromkeys(("₹", "rs", "rs."), "inr"),
    **dict.fromkeys(("₽", *_RUBLES), "rub"),
    **dict.fromkeys(("st", "nd", "rd", "th"), "ordinal"),
    **dict.fromkeys(("s", "sec.", "second", "seconds"), "sec"),
    **dict.fromkeys(("min.", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hr.", "hrs", "hrs."), "hour"),
    **dict.fromkeys(("yr", "yr.", "yrs", "yrs."), "year"),
    **dict.fromkeys(("foot", "feet"), "ft"),
    **dict.fromkeys(("inch", "inches"), "in"),
    **dict.fromkeys(("mile", "miles"), "mi"),
    "kr.": "kr",
    "£": "gbp",
    "¥": "jpy",
}
_POWERS = {
    **dict.fromkeys(("k", "tsd", "tsd.", "thousand"), 3),
    **dict.fromkeys(("m", "mn", "mio", "mio.", "million", "millions"), 6),
    **dict.fromkeys(("b", "bn", "mrd", "mrd.", "billion", "billions"), 9),
    **dict.fromkeys(("t", "tn", "trillion", "trillions"), 12),
    "lakh": 5,
    "crore": 7,
}
_ALSO_UNITS = {"m", "b", "t"}  # metre, byte, tonne

_NUMBER = rf"\d(?:[\d.,'\u2019{BLANKS}]*\d)?[.,]?(?:[eE][+-]?\d+)?|[.,]\d+"
_GAP, _SIGN = f"[{BLANKS}]*", f"[+{DASHES}-]?"
_AMOUNT = re.compile(
    rf"(?P<before>{_SIGN}){_GAP}(?P<prefix>[^\d\s+{DASHES}.,'()-][^\d\s+{DASHES},'()-]*)?{_GAP}(?P<sign>{_SIGN}){_GAP}"
    rf"(?P<number>{_NUMBER}){_GAP}(?P<trailing>-?){_GAP}(?P<suffix>[^\d\s{DASHES}.,()-][^\d()]{{0,19}}|[a-zA-Z]{{1,2}}[23])?",
    re.ASCII,
)
_INSIDE = re.compile(r"([^()\d+-]*)\(([^()+-]+)\)([^()\d]*)", re.ASCII)
_POWER = re.compile(
    rf"(?P<power>{'|'.join(sorted(map(re.escape, _POWERS), key=len, reverse=True))})"
    rf"(?:{_GAP}(?P<unit>[{_SYMBOLS}])|[{BLANKS}]+(?P<word>\D+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Amount:
    """One text, parsed."""

    digits: str  # with its sign, as it is written
    prefix: str = ""
    suffix: str = ""  # a unit
    power: str = ""  # letters that stand for a power of ten
    negative: str = ""  # how a minus is written, where it is not "-"

    @property
    def unit(self) -> str:
        """The unit, the same for all ways of writing it."""
        return " ".join(filter(None, (_name(self.prefix), _name(self.suffix))))

    @property
    def is_dressed(self) -> bool:
        """Whether anything stands beside the digits."""
        return bool(self.prefix or self.suffix or self.power or self.negative)


@dataclass(frozen=True)
class Amounts:
    """The texts of a column that are numbers of one unit."""

    parts: Mapping[str, Amount]  # by text
    unit: str

    def list_options(self, texts: Iterable[str]) -> dict[str, Any]:
        """The keys of a contract that read some of the texts."""
        parts = [self.parts[text] for text in texts]
        prefixes, suffixes = ({getattr(part, name) for part in parts} - {""} for name in ("prefix", "suffix"))
        powers = {part.power: _POWERS[part.power.lower()] for part in parts if part.power}
        negative = next((part.negative for part in parts if part.negative), None)
        options = {"prefix": sorted(prefixes), "suffix": sorted(suffixes), "powers": dict(sorted(powers.items()))}
        return {key: value for key, value in (options | {"negative": negative}).items() if value}

    def describe(self, texts: Iterable[str]) -> str:
        """A note where some numbers have the unit beside them, and others have not."""
        parts = [self.parts[text] for text in texts]
        bare = next((part.digits for part in parts if not part.unit), None)
        if not self.unit or bare is None:
            return ""
        shown = next(part.prefix or part.suffix for part in parts if part.unit)
        return f"some numbers, such as {bare}, are without {shown!r}: read as if they had it"


def take_apart(texts: Mapping[str, int], *, share: float) -> Amounts | None:
    """The texts that are numbers of the most frequent unit; None where every number is written plainly.

    Args:
        texts: each with the number of its rows.
        share: of the numbers, that must have a unit which may be no unit, for those without one to be of it.
    """
    parts = {text: part for text in texts if (part := _split(text)) is not None}
    if not any(part.is_dressed for part in parts.values()):
        return None
    parts = _take_powers(parts)
    rows = _count_units(parts, texts)
    unit = max(rows, key=lambda name: (rows[name], name), default="")
    known = not unit or _is_known(unit)
    clear = known and not _is_letter(unit, parts.values())
    units = {unit, ""} if clear or rows[unit] >= share * sum(texts[text] for text in parts) else {unit}
    negative = _find_negative(parts.values())
    alike = {text: part for text, part in parts.items() if part.unit in units and part.negative in {"", negative}}
    return Amounts(alike, unit) if known or len(alike) > 1 else None


def name_units(texts: Mapping[str, int], *, share: float) -> str:
    """A note where nearly all texts of a column are numbers, but in several units."""
    parts = {text: part for text in texts if (part := _split(text)) is not None}
    rows = {
        unit: count
        for unit, count in _count_units(parts, texts).items()
        if _is_known(unit) and not _is_letter(unit, parts.values())
    }
    if len(rows) < 2 or sum(rows.values()) < share * sum(texts.values()):  # noqa: PLR2004 - several
        return ""
    units = ", ".join(f"{unit!r}" for unit in sorted(rows, key=lambda unit: -rows[unit])[:5])
    return f"numbers in several units, {units}: read as texts; convert them to one unit"


def _count_units(parts: Mapping[str, Amount], texts: Mapping[str, int]) -> Counter[str]:
    rows: Counter[str] = Counter()
    for text, part in parts.items():
        if part.unit:
            rows[part.unit] += texts[text]
    return rows


def _split(text: str) -> Amount | None:
    """None where it is not a number, or has a word before it that is not a currency."""
    inside = _INSIDE.fullmatch(text)
    found = _AMOUNT.fullmatch("".join(part.strip() for part in inside.groups()) if inside else text)
    if found is None:
        return None
    prefix, suffix = found["prefix"] or "", (found["suffix"] or "").strip()
    signs = [*filter(None, (found["before"], found["sign"], found["trailing"], inside and "("))]
    if len(signs) > 1 or (prefix and not _is_currency(prefix)):
        return None
    negative = "parentheses" if inside else "trailing" if found["trailing"] else ""
    negative = "dash" if signs and signs[0] in DASHES else negative
    sign = "-" if negative else signs[0] if signs else ""
    return Amount(f"{sign}{found['number']}", prefix, suffix, "", negative)


def _name(affix: str) -> str:
    """One name for all ways of writing a unit, one of them or several."""
    lower = affix.lower()
    singular = lower.removesuffix("s")
    is_plural = lower not in _UNITS and (singular in _UNITS or len(singular) > 3)  # noqa: PLR2004 - letters
    return _SAME.get(lower, singular if is_plural else lower)


def _is_currency(text: str) -> bool:
    lower = text.lower()
    return lower in _CURRENCIES or (text[-1] in _SYMBOLS and len(text) <= 4 and (text[:-1].isalpha() or len(text) == 1))  # noqa: PLR2004 - letters


def _is_known(unit: str) -> bool:
    return all(part in _UNITS or _is_currency(part) for part in unit.split(" "))


def _is_letter(unit: str, parts: Iterable[Amount]) -> bool:
    """A single letter, however frequent, may mean anything, as in house numbers."""
    written = {part.prefix + part.suffix for part in parts if part.unit == unit}
    return bool(unit) and all(len(text) == 1 and text.isalpha() for text in written)


def _find_negative(parts: Iterable[Amount]) -> str:
    """The most frequent of the ways in which a minus is written."""
    ways = Counter(part.negative for part in parts if part.negative)
    return max(ways, key=lambda way: (ways[way], way), default="")


def _take_powers(parts: Mapping[str, Amount]) -> dict[str, Amount]:
    """Letters after the digits as powers of ten, unless they are one unit: 5 m are metres, and $5 m are millions."""
    powered = {text: taken for text, part in parts.items() if (taken := _take_power(part)) is not None}
    powers = {part.power.lower() for part in powered.values()}
    affixes = {affix for part in (*parts.values(), *powered.values()) for affix in (part.prefix, part.suffix) if affix}
    bare = any(not part.suffix for part in parts.values())
    meant = any(map(_is_currency, affixes)) or len(powers) > 1 or (bare and powers - _ALSO_UNITS)
    return {**parts, **powered} if meant else dict(parts)


def _take_power(part: Amount) -> Amount | None:
    """Its suffix as a power of ten and a currency, where it can be that."""
    found = _POWER.fullmatch(part.suffix)
    unit = (found["unit"] or found["word"] or "") if found else ""
    if found is None or (unit and not _is_currency(unit)):
        return None
    return replace(part, suffix=unit, power=found["power"])
