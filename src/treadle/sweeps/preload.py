"""What the fork server imports before the first trial. It reports nothing itself: a trial does, if something failed."""

from __future__ import annotations

from treadle.sweeps.workers import preload

preload()
