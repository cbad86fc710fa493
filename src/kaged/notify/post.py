"""The way of a message to a push service. Browsers name theirs, so no address is trusted."""

import asyncio
import ipaddress
import json
import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kaged.core.addresses import public
from kaged.core.errors import KagedError
from kaged.models.http import HttpClient
from kaged.notify.subscriptions import Subscription
from kaged.notify.webpush import Vapid, seal

if TYPE_CHECKING:
    import httpx2

LIMIT_S = 15.0  # For one message, from the look-up of the name to the answer
_LONGEST_WAIT_S = 300.0


class Post:
    """Sends to push services at public addresses, and to `private` ones (`host` or `host:port`). What they refuse is a
    KagedError: `details` have `wait_s` when trying again may help, `gone` when nobody is there any more."""

    def __init__(self, vapid: Vapid, private: Sequence[str]) -> None:
        self.vapid, self._private, self.http = vapid, private, HttpClient(_client)

    async def send(self, to: Subscription, message: dict[str, str], seconds: float) -> None:
        """Hand it to the push service, for `seconds` if the browser is away; a later one of the same `id` takes its
        place there."""
        import httpx2

        at, urgency = urlsplit(to.endpoint), "normal" if message["kind"] == "closed" else "high"
        headers = {"authorization": self.vapid.authorization(to.endpoint), "content-encoding": "aes128gcm"}
        headers |= {"topic": message["id"], "ttl": str(int(seconds)), "urgency": urgency, "host": at.netloc}
        body = seal(json.dumps(message, ensure_ascii=False).encode(), to.p256dh, to.auth)
        try:
            async with asyncio.timeout(LIMIT_S):
                # Connected to is the address that was looked at, under the service's name.
                url, client = httpx2.URL(to.endpoint).copy_with(host=await self.address(to)), await self.http.get()
                named = {"sni_hostname": at.hostname}
                async with client.stream("POST", url, headers=headers, content=body, extensions=named) as answer:
                    status, retry = answer.status_code, answer.headers.get("retry-after", "")
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            text = f"The push service does not answer ({type(error).__name__})."
            raise KagedError("provider_unreachable", text, {"wait_s": 0.0}) from error
        if status >= 300:
            about: dict[str, float] = {"gone": True} if status in (404, 410) else {}
            if status == 429 or status >= 500:
                about["wait_s"] = min(float(retry) if retry.isdecimal() else 0.0, _LONGEST_WAIT_S)
            raise KagedError("provider_unreachable", f"The push service did not take it: it answered {status}.", about)

    async def address(self, to: Subscription) -> str:
        """Where its push service is."""
        at = urlsplit(to.endpoint)
        if at.scheme != "https" or not at.hostname or "@" in at.netloc:
            raise KagedError("validation_failed", "`endpoint` is no plain https:// address.")
        try:
            looking = asyncio.get_running_loop().getaddrinfo(at.hostname, at.port or 443, type=socket.SOCK_STREAM)
            found = [str(place[0]) for *_, place in await looking]
        except (OSError, ValueError) as error:
            raise KagedError("validation_failed", f"There is no host {at.hostname}.", {"wait_s": 0.0}) from error
        ours = at.hostname in self._private or at.netloc in self._private
        if good := [it for it in found if ours or public(ipaddress.ip_address(it))]:
            return good[0]
        text = f"{at.hostname} has no public address; if it is yours, name it in [notifications] private_hosts."
        raise KagedError("validation_failed", text)


def _client() -> "httpx2.AsyncClient":
    import httpx2

    # No proxies, whose own look-up nobody has checked; no connection is used again under another name.
    limits = httpx2.Limits(max_connections=20, max_keepalive_connections=0)
    return httpx2.AsyncClient(limits=limits, timeout=LIMIT_S, verify=ssl.create_default_context(), trust_env=False)
