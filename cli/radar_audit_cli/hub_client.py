"""The hub's routes, as calls.

Owns the paths and parameters of the log, the paging of every list, and the
shapes of the answers; the administering commands name their own paths. Called
by the commands and by `following`. Never retries by itself (see `transport`)
and never shows anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from radar_audit_events.ids import is_opaque_id

from .errors import CliError, CutError, RefusedError
from .shapes import Event, Params
from .transport import Answer, Transport

MAX_PAGE_ITEMS = 500  # contract: `limit` of every list
_MAX_ANSWER_BYTES = 64 * 1024 * 1024  # 500 events with 16 KiB of metadata, with room
_MAX_LINE_BYTES = 1024 * 1024
_FOLLOW_EXTRA_SECONDS = 30.0  # beyond the long poll's own wait
_NEXT_LINK = re.compile(r'<([^>]*)>\s*;[^,<]*\brel="?next"?')


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a list (perhaps none; events: newest first), and whether it may hold more."""

    items: list[dict[str, Any]]
    has_more: bool


class HubClient:
    """One hub, one token, one organization."""

    def __init__(self, transport: Transport, org: str | None) -> None:
        """Without `org` the token's own is asked for at the first call that needs it."""
        self._transport = transport
        self._org = org

    @property
    def url(self) -> str:
        """The hub's address, without a trailing slash."""
        return self._transport.url

    @property
    def org(self) -> str:
        """The organization's id. Raises CliError if the hub does not say which it is."""
        if self._org is None:
            org_id = self.me().get("org_id")
            if not isinstance(org_id, str) or not is_opaque_id("org", org_id):
                raise _strange(self.url)
            self._org = org_id
        return self._org

    def me(self) -> dict[str, Any]:
        """Return who the token belongs to."""
        return self._object("/me")

    def pages(self, params: Params, limit: int | None) -> Iterator[Page]:
        """Yield pages of events until `limit` events (None: all) came or the log has no more."""
        return self.listed(self._audit(), "events", params, limit)

    def listed(
        self, path: str, key: str, params: Params = (), limit: int | None = None
    ) -> Iterator[Page]:
        """Yield pages of the list at `path`, whose entries stand under `key`; `limit` as above."""
        left = limit
        cursor: str | None = None
        while left is None or left > 0:
            size = MAX_PAGE_ITEMS if left is None else min(left, MAX_PAGE_ITEMS)
            asked = [*params, ("limit", str(size))]
            if cursor is not None:
                asked.append(("cursor", cursor))
            page = self._object(path, asked)
            items = _items(page.get(key), self.url)
            following = page.get("next_cursor")
            if len(items) > size or not (following is None or isinstance(following, str)):
                raise _strange(self.url)
            if following is not None and following == cursor:
                raise _strange(self.url)  # it would go round for ever
            yield Page(items, following is not None)
            if following is None:
                return
            cursor = following
            left = None if left is None else left - len(items)

    def newest_seq(self) -> int:
        """Return the seq of the event with the latest time, or -1 if the log shows none."""
        newest = [event for page in self.pages((), 1) for event in page.items]
        seq = newest[0].get("seq") if newest else -1
        if not isinstance(seq, int):
            raise _strange(self.url)
        return seq

    def event(self, event_id: str) -> Event:
        """Return one event, with its `recorded_at`.

        Raises RefusedError with status 404 if it is not to be seen.
        """
        try:
            path = f"{self._audit()}/{quote(event_id, safe='')}"
            return self._object(path, [("include", "recorded_at")])
        except RefusedError as exc:
            if exc.code == "not_found":
                exc.hint = "it may have expired, or belong to another organization"
            raise

    def facets(self, params: Params) -> dict[str, Any]:
        """Return how often each action, actor and target type occurs."""
        return self._object(f"{self._audit()}/facets", params)

    def export(self, params: Params, form: str) -> AbstractContextManager[Answer]:
        """Open the whole result as `form` (csv or ndjson)."""
        return self._transport.get(self._audit(), [*params, ("format", form)])

    def follow(
        self, params: Params, after_seq: int, *, limit: int, wait_seconds: int
    ) -> Iterator[tuple[int, Event | None]]:
        """Yield the events after `after_seq` in commit order, each with its seq.

        The last item is (seq, None): how far the log was read. It comes only if
        the answer was whole; CutError is raised after the last whole event else.
        """
        asked = [
            *params,
            ("after_seq", str(after_seq)),
            ("limit", str(limit)),
            ("wait", str(wait_seconds)),
        ]
        path = f"{self._audit()}/follow"
        read_seconds = wait_seconds + _FOLLOW_EXTRA_SECONDS
        with self._transport.get(path, asked, read_seconds=read_seconds) as answer:
            reached = _next_seq(answer.headers.get("Link"), self.url)
            answer.require_end()
            for line in lines(answer.chunks()):
                event = _event(line, self.url)
                yield event["seq"], event
        yield reached, None

    def get(self, path: str) -> dict[str, Any]:
        """Return the object at `path` (below `/api`)."""
        return self._object(path)

    def change(
        self, method: str, path: str, body: Mapping[str, Any] | None, params: Params = ()
    ) -> dict[str, Any]:
        """Make a change at `path` (below `/api`) and return the answer, empty if there is none.

        Raises UnreachableError or RefusedError; see `Transport.change`.
        """
        content = None if body is None else json.dumps(body).encode()
        with self._transport.change(method, path, content, params) as answer:
            text = answer.body(_MAX_ANSWER_BYTES)
        return self._decoded(text) if text else {}

    def in_org(self, *parts: str) -> str:
        """Return the path of something of the organization, each part made safe for a path."""
        return "/".join(["/orgs", *(quote(part, safe="") for part in (self.org, *parts))])

    def _audit(self) -> str:
        return self.in_org("audit")

    def _object(self, path: str, params: Params = ()) -> dict[str, Any]:
        with self._transport.get(path, params) as answer:
            body = answer.body(_MAX_ANSWER_BYTES)
        return self._decoded(body)

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as exc:
            raise _strange(self.url) from exc
        if not isinstance(document, dict):
            raise _strange(self.url)
        return document


def open_client(
    url: str, token: str, *, org: str | None, ca_file: str | None, log: Callable[[str], None] | None
) -> HubClient:
    """Return a client; see Transport for `log`. Sends nothing yet. Raises ArgumentError."""
    return HubClient(Transport(url, token, ca_file=ca_file, log=log), org)


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the whole lines of a body, without their ends. Raises CliError if one is too long.

    A body that ends within a line raises CutError.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MAX_LINE_BYTES:
            raise CliError("the hub sent a line that is longer than an event can be")
        yield from (line for line in whole if line.strip())
    if rest.strip():
        raise CutError("the hub's answer ends in the middle of a line")


def _strange(url: str) -> CliError:
    return CliError(f"{url} does not answer like a hub; is the address right?")


def _items(value: object, url: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _strange(url)
    return value


def _event(line: bytes, url: str) -> Event:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise _strange(url) from exc
    if not isinstance(event, dict) or not isinstance(event.get("seq"), int):
        raise _strange(url)
    return event


def _next_seq(link: str | None, url: str) -> int:
    """Return the after_seq of the next page; only this number is taken from the link."""
    match = _NEXT_LINK.search(link or "")
    if match is not None:
        text = parse_qs(urlsplit(match.group(1)).query).get("after_seq", [""])[-1]
        if text.isdecimal() or text == "-1":
            return int(text)
    raise _strange(url)
