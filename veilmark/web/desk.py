"""What is done in a process of its own: files that somebody sent are decoded, judged and looked up.

See :mod:`veilmark.web.workers` for why. A desk knows no passphrase, and opens no private key.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from provenance.errors import NotInitializedError, VeilmarkError
from provenance.media.files import sha256_file
from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.resolve.matches import Match
from provenance.search.lookup import similar_records
from provenance.search.titles import Description, describe_records
from provenance.verify import verify_file
from veilmark.web.api.engine import Engine
from veilmark.web.scrubbing import scrubber
from veilmark.web.settings import Settings
from veilmark.web.work.card import Carded, make_card
from veilmark.web.workers import READY


class Desk:
    """The tasks, by name: :data:`TASKS`. Arguments and results travel between processes."""

    def __init__(self, settings: Settings) -> None:
        self._engine = Engine(settings)
        self._scrub = scrubber(settings)

    def verify(self, path: Path, name: str, everything: bool) -> dict[str, Any]:
        """A verdict as JSON. Who may not see everything learns nothing of records that are not public."""
        if not everything:
            self._lay_receipt_beside(path)
        lookup = self._engine.lookup if everything else None
        verdict = verify_file(path, self._engine.trust, lookup=lookup)

        def plain(text: str) -> str:
            return self._scrub(text).replace(path.name, name)

        verdict.path = name
        verdict.headline = plain(verdict.headline)
        verdict.warnings = [plain(one) for one in verdict.warnings]
        verdict.checks = [replace(one, detail=plain(one.detail)) for one in verdict.checks]
        return verdict.to_json()

    def find(self, path: Path, name: str) -> dict[str, Any]:
        """Every record in the own ledger."""
        lookup = self._engine.lookup
        if lookup is None:
            raise NotInitializedError("this service has no ledger yet")
        records = similar_records(MediaFile.open(path), lookup, self._engine.trust)
        described = describe_records(records, lookup)
        listed = [{**vars(one), **described.get(one.index, Description()).to_json()} for one in records]
        return {"schema": "veilmark.found/1", "path": name, "records": listed}

    def match(self, path: Path, alg: str, limit: int) -> list[Match]:
        """Public records of something like this."""
        return self._engine.public.by_content(MediaFile.open(path), algorithms=[alg], limit=limit)

    def card(self, path: Path, outbox: Path, address: str, number: int, everything: bool) -> Carded:
        """What a page shows of one file."""
        return make_card(path, outbox, address, number, everything, self._engine, self._scrub)

    def _lay_receipt_beside(self, path: Path) -> None:
        """The receipt of a public record of this very file, where the verification looks for one."""
        settings = self._engine.settings
        if not (settings.discoverable and settings.home.has_ledger()):
            return
        receipt = self._engine.public.receipt_of_file(sha256_file(path))
        if receipt is not None:
            with_suffix_added(path, RECEIPT_SUFFIX).write_bytes(receipt)


TASKS: Mapping[str, Callable[..., Any]] = {
    "verify": Desk.verify,
    "find": Desk.find,
    "match": Desk.match,
    "card": Desk.card,
}


def serve(settings: Settings, pipe: Connection) -> None:
    """The life of a process: one task after the other, until the service is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the service, and that ends this
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    sys.addaudithook(_refuse_keys)
    desk = Desk(settings)
    pipe.send(READY)
    while True:
        try:
            name, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            said: Any = (True, TASKS[name](desk, *arguments))
        except VeilmarkError as error:
            said = (False, error)
        pipe.send(said)


def _refuse_keys(event: str, arguments: tuple[Any, ...]) -> None:
    """Whatever a file makes a decoder do: no private key is read here."""
    if event == "open" and str(arguments[0]).endswith(".key"):
        raise PermissionError(f"{arguments[0]} is not opened here")


def _end_with_the_service() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
