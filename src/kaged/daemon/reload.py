"""New nonces without a restart: read again, put in force, written down; or refused, and the old ones stay."""

import logging
from collections.abc import Callable
from typing import Any

from kaged.audit.chain import Outcome
from kaged.audit.log import Audit
from kaged.core import clock
from kaged.core.actors import Actor
from kaged.core.errors import ConfigError, KagedError
from kaged.identity.headers import NonceSet
from kaged.identity.service import Identity
from kaged.settings.nonces import Source
from kaged.telemetry import logs

log = logging.getLogger(__name__)


class Reload:
    """See `SystemPort.reload`. `notify` tells the service manager (sd_notify(3))."""

    def __init__(self, source: Source, identity: Identity, audit: Audit, notify: Callable[[str], None]) -> None:
        self._source, self._identity, self._audit, self._notify = source, identity, audit, notify

    def describe(self) -> dict[str, Any]:
        return {"source": self._source.nonces.source, "items": self._identity.nonce_uses()}

    async def __call__(self, actor: Actor) -> dict[str, Any]:
        """Read the sources again; raises KagedError `conflict` with the reason when what they say cannot be used."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic() * 1e6)}")
        before = self._source.nonces
        try:
            found = self._source.reread()
        except ConfigError as error:
            log.error("the nonces stay as they were: %s", error)
            await self._record(actor, "failed", {"reason": str(error)})
            raise KagedError("conflict", f"The nonces stay as they were: {error}") from None
        finally:
            self._notify("READY=1")
        if found == before:
            log.info("read again: the nonces are the same (%s)", found.source)
            return self.describe()
        for nonce in found.accepted:
            logs.register_secret(nonce)
        ended = self._identity.accept_nonces(NonceSet.of(*found.accepted))
        log.info("new nonces are in force: %d accepted, %d sockets of a retired one ended", len(found.accepted), ended)
        await self._record(actor, "ok", {"source": found.source, "accepted": len(found.accepted), "sockets": ended})
        return self.describe()

    async def _record(self, actor: Actor, outcome: Outcome, details: dict[str, Any]) -> None:
        try:
            await self._audit.record(actor, "auth.nonce_rotated", "nonce", outcome, details)
        except KagedError as error:
            # What is in force is in force: a full disk must not bring a retired nonce back.
            log.error("the new nonces could not be recorded: %s", error.message)
