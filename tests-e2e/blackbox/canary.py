"""Values that occur nowhere else, and the search for every spelling in which they might be kept."""

import base64
import random
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final

Spelling = Callable[[bytes], bytes]


class Tokens:
    """Makes values for personal fields, each one only once.

    All values of one kind begin alike. So one search for a beginning finds whatever may be one of thousands of tokens,
    and only that is looked at closely.
    """

    def __init__(self) -> None:
        self.made: dict[str, list[bytes]] = {}  # of each kind
        self._run = secrets.token_hex(10)
        self._digits = random.randrange(10**5)
        self._year = random.randrange(1901, 1940)

    def word(self) -> str:
        return self._new("word", f"{self._run}{self._next('word'):05}")

    def text(self) -> str:
        """A word in company that another spelling of it might lose."""
        return f"Naïve {self.word()} & Søn"

    def email(self) -> str:
        return f"{self.word()}@example.com"

    def phone(self) -> str:
        """A Brazilian mobile number in E.164."""
        return "+" + self._new("phone", f"551196{self._digits // 10:04}{self._next('phone'):03}")

    def cpf(self) -> str:
        """As people write it; it is kept without punctuation."""
        base = f"{self._digits:05}1{self._next('cpf'):03}"
        number = base + _check_digits(base, range(10, 1, -1), range(11, 1, -1))
        self._new("cpf", number)
        return self._new("written cpf", f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}")

    def cnpj(self) -> str:
        """An alphanumeric one."""
        base = f"{self._run[:8].upper()}{self._next('cnpj'):04}"
        weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
        return self._new("cnpj", base + _check_digits(base, weights[1:], weights))

    def day(self) -> str:
        """Of a year in which nobody else was born."""
        number = self._next("day")
        return self._new("day", f"{self._year}-{1 + number % 12:02}-{1 + number // 12 % 28:02}")

    def _next(self, kind: str) -> int:
        return len(self.made.get(kind, ()))

    def _new(self, kind: str, token: str) -> str:
        self.made.setdefault(kind, []).append(token.encode())
        return token

    def __len__(self) -> int:
        return sum(map(len, self.made.values()))

    def seen_in(self, haystack: bytes) -> list[str]:
        """Where one of the tokens stands, with what stands around it."""
        folded = haystack.lower()
        return [
            f"{kind}, {name}: {straw[max(0, at - 40) : at + 60]!r}"
            for kind in self.made
            for name, spell in SPELLINGS.items()
            for straw in [folded if name in FOLDED else haystack]
            for at in self._sightings(kind, spell, straw)
        ]

    def _sightings(self, kind: str, spell: Spelling, haystack: bytes) -> Iterator[int]:
        spelled = _spelled(spell, tuple(self.made[kind]))
        beginning, length = _common_beginning(spelled), len(next(iter(spelled)))
        for found in re.finditer(re.escape(beginning), haystack):
            if haystack[found.start() : found.start() + length] in spelled:
                yield found.start()


@cache
def _spelled(spell: Spelling, tokens: tuple[bytes, ...]) -> frozenset[bytes]:
    return frozenset(map(spell, tokens))


@cache
def _common_beginning(spelled: frozenset[bytes]) -> bytes:
    first, last = min(spelled), max(spelled)
    length = next((n for n, (one, other) in enumerate(zip(first, last, strict=True)) if one != other), len(first))
    assert length >= 4, "there would be too much to look at closely"
    return first[:length]


def _check_digits(base: str, first: Iterable[int], second: Iterable[int]) -> str:
    def digit(text: str, weights: Iterable[int]) -> str:
        rest = sum((ord(character) - 48) * weight for character, weight in zip(text, weights, strict=True)) % 11
        return str(0 if rest < 2 else 11 - rest)

    one = digit(base, first)
    return one + digit(base + one, second)


def _base64(shift: int) -> Spelling:
    """What is certain of it, wherever the token begins within a group of three bytes."""

    def spell(token: bytes) -> bytes:
        encoded = base64.b64encode(b"\0" * shift + token)
        return encoded[4 if shift else 0 : -4]

    return spell


def _utf16(token: bytes) -> bytes:
    return token.decode().encode("utf-16-le")


# Searched for without regard to case.
FOLDED: Final = {"plain", "hex", "utf-16"}
SPELLINGS: Final[dict[str, Spelling]] = {
    "plain": bytes.lower,
    "hex": lambda token: token.hex().encode(),
    "utf-16": lambda token: _utf16(token.lower()),
    "base64": _base64(0),
    "base64 from the second byte": _base64(1),
    "base64 from the third byte": _base64(2),
}
