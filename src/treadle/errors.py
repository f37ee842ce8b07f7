"""The error of everything that a user can fix."""

from __future__ import annotations


class TreadleError(ValueError):
    """A mistake that the user can fix. Its text states the rule, the value, the place and the fix."""
