"""Passwords and tokens in addresses: found, refused where they would be written down, and left out of messages."""

from __future__ import annotations

import re

HIDDEN = "***"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
# Before the host: a name, or a name and a password, which may hold `/`, `?`, `#` and `@` as it was typed; a number
# or a variable before `/`, `?` or `#` is a port, and its path may hold `@`.
_USER = re.compile(r"(?<=://)(?!\[)(?:[^/?#\s'\"@:]+@|[^/?#\s'\"@:]*:(?:\$\w+@|(?!(?:\d+|\$\w+)[/?#])[^\s'\"]*@))")
_PARAMETER = re.compile(r"([?&;])([^=&#\s'\"]+)=([^&#\s'\"]+)")
_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
# Of signed addresses (S3, Google Cloud, Azure, Slack), and the names that people give to keys.
_SECRET_NAME = re.compile(
    r"(?i)^(.*(sig|signature|token|secret|passw(or)?d|passwd|pwd|credential|credentials|auth|apikey|api[-_]key|"
    r"access[-_]?key|accesskeyid|jwt|sas)|key|code|pass|x-(amz|goog)-.*)$"
)


def redact(text: str) -> str:
    """A text without the passwords, tokens and signatures of the addresses in it; names of variables stay."""
    return _ADDRESS.sub(lambda found: _redact(found[0]), text) if "://" in text else text


def find_secret(address: str) -> str:
    """What in an address is a secret, in words without it; empty where nothing seems to be.

    A user alone is a secret for HTTP, where a token stands there; others name an account with it.
    """
    user = _USER.search(address)
    if user is not None:
        name, _, password = user[0][:-1].partition(":")
        is_token = address.lower().startswith("http") and not password and not _is_variable(name)
        if is_token or (password and not _is_variable(password)):
            return "a password or token before the host"
    for _, name, value in _PARAMETER.findall(address):
        if _SECRET_NAME.match(name) and value and not _is_variable(value):
            return f"a value for {name!r}"
    return ""


def _redact(address: str) -> str:
    address = _USER.sub(lambda found: f"{_hide_user(found[0][:-1])}@", address)
    return _PARAMETER.sub(lambda found: f"{found[1]}{found[2]}={_hide(found[2], found[3])}", address)


def _hide_user(user: str) -> str:
    name, colon, password = user.partition(":")
    if colon:
        return f"{name if _is_variable(name) else HIDDEN}:{password if _is_variable(password) else HIDDEN}"
    return name if _is_variable(name) else HIDDEN


def _hide(name: str, value: str) -> str:
    return HIDDEN if _SECRET_NAME.match(name) and not _is_variable(value) else value


def _is_variable(text: str) -> bool:
    return _VARIABLE.fullmatch(text) is not None
