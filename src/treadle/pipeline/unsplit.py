"""Examples before they are split, kept in the cache for runs that differ in their split alone."""

from __future__ import annotations

from treadle.experiment.identity import sign_unsplit
from treadle.experiment.stages import STAGES, UNSPLIT
from treadle.pipeline.cache import Entry, delete_outputs, delete_partial_entries, drop_if_damaged, find_entry
from treadle.pipeline.locks import hold_lock
from treadle.pipeline.record import Run


def take_unsplit(current: Run) -> bool:
    """Link what the cache keeps of these examples into the run's folder; whether there is anything."""
    delete_outputs(current.folder.path, UNSPLIT)
    current.unsplit_signature = sign_unsplit(current.resolved, root=current.root)
    entry = _find(current)
    if not entry.exists():
        return False
    with hold_lock(entry.lock, notify=current.notify, what="the examples"):
        drop_if_damaged(entry, root=current.root, notify=current.notify)
        if not entry.exists():
            return False
        entry.share(current.folder.path)
    current.notify(f"{STAGES[0].name:<10} splits the examples that the cache keeps")
    return True


def keep_unsplit(current: Run) -> None:
    """Keep in the cache what the run has built, if it has, by the signature of the data that it was built from."""
    if not current.folder.unsplit.is_dir() or current.unsplit_signature is None:
        return
    entry = _find(current)
    entry.folder.parent.mkdir(parents=True, exist_ok=True)
    delete_partial_entries(entry)
    with hold_lock(entry.lock, notify=current.notify, what="the examples"):
        if not entry.exists():
            entry.publish(current.folder.path)


def _find(current: Run) -> Entry:
    assert current.unsplit_signature is not None, "it is signed before"
    return find_entry(current.root, UNSPLIT, current.unsplit_signature)
