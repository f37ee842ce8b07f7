"""The account at a W&B server, where there is one: nobody is asked for a key."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.errors import TreadleError
from treadle.tracking.wandb_environment import require_valid_variables

if TYPE_CHECKING:
    import wandb

_AWAY = ("offline", "dryrun", "disabled")  # values of WANDB_MODE with which no server is asked


@dataclass(frozen=True)
class Account:
    """Credentials that a server accepts."""

    server: str  # its address
    entity: str  # where what names none goes
    api: wandb.Api

    def ensure_project(self, name: str, *, entity: str) -> None:
        """Make the project where it does not exist: an upload would make it, a view does not."""
        if all(project.name != name for project in self.api.projects(entity)):
            self.api.create_project(name, entity)


@contextlib.contextmanager
def reporting_errors(what: str, *, fix: str = "") -> Iterator[None]:
    """W&B's library says on the terminal what it does, and raises what it finds on the way: we say it in one place.

    Args:
        what: failed, if it does.
        fix: of it, behind the reason.

    Raises:
        TreadleError: whatever the library has raised.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except TreadleError:
        raise
    except Exception as error:
        raise TreadleError(f"{what}: {type(error).__name__}: {error}{fix}") from error


def find_account() -> Account | None:
    """The account of WANDB_API_KEY or of `wandb login`; None where there is none, or WANDB_MODE is offline.

    Raises:
        TreadleError: the key is not valid, or the server refuses it or does not answer.
    """
    if os.environ.get("WANDB_MODE") in _AWAY:
        return None
    require_valid_variables()
    import wandb
    from wandb.sdk.lib import wbauth  # the public ways ask for a key at a terminal

    server = wandb.setup().settings.base_url
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it says which file it took the key from
            credentials = wbauth.authenticate_session(
                host=server, source="treadle", prompt=False, no_offline=True, update_session=False
            )
        if credentials is None:
            return None
        api = wandb.Api()
        entity = api.default_entity
    except (wandb.errors.Error, ValueError) as error:
        raise TreadleError(
            f"W&B at {server}: no access with the account of this machine: {error}\n"
            "`wandb login --relogin` renews its key, WANDB_BASE_URL names another server; `-o FILE` needs neither"
        ) from error
    if entity is None:
        raise TreadleError(f"W&B at {server}: the account has no default entity; name one: tracker.entity=TEAM")
    return Account(server, entity, api)
