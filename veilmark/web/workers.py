"""Processes that look at files which somebody sent, within a time.

A decoder that hangs or crashes takes a process with it that is replaced, and never the service; a thread could not be
stopped. Each process opens ledger, index and trust once, and keeps them. They are started when they are first needed.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from provenance.errors import CheckError
from veilmark.web.settings import Settings

_POLL_SECONDS, _START_SECONDS = 0.25, 120
#: What a process says once it can be asked.
READY = "ready"
#: The life of such a process: it says :data:`READY`, and then answers one task after the other.
Life = Callable[[Settings, Connection], None]


class TookTooLongError(CheckError):
    """A file was looked at for as long as the limits allow, and given up."""


class Workers:
    """Thread-safe. So many at the same time as there are workers for the pages and for programs together.

    Args:
        settings: of the service.
        life: what each process does, such as :func:`veilmark.web.desk.serve`.
    """

    def __init__(self, settings: Settings, life: Life) -> None:
        self._life = life
        self._settings = replace(settings, passphrase=None, tokens=(), config=None)
        self._places = threading.Semaphore(2 * settings.limits.workers)
        self._turn = threading.Lock()
        self._idle: list[_Worker] = []
        self._closed = False

    def run(self, name: str, *arguments: Any, waiting: Callable[[], None] = lambda: None) -> Any:
        """Do a task of :mod:`veilmark.web.desk`.

        Args:
            waiting: called while it is waited for; what it raises stops the task.

        Raises:
            TookTooLongError: it was stopped.
            CheckError: its process died.
            VeilmarkError: what the task raised.
        """
        seconds = self._settings.limits.look_seconds
        with self._places:
            worker = self._taken()
            try:
                answer = worker.ask((name, arguments), seconds, waiting)
            except BaseException:
                worker.stop()
                raise
            self._give_back(worker)
        done, said = answer
        if done:
            return said
        raise said

    def close(self) -> None:
        """End the processes that wait; those that work end with their task."""
        with self._turn:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.stop()

    def _give_back(self, worker: _Worker) -> None:
        with self._turn:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.stop()

    def _taken(self) -> _Worker:
        with self._turn:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                worker.stop()
        return _Worker(self._settings, self._life)


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, settings: Settings, life: Life) -> None:
        context = _context(life.__module__)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=life, args=(settings, theirs), daemon=True, name="veilmark-desk"
        )
        self._process.start()
        theirs.close()
        try:
            begun = self._pipe.poll(_START_SECONDS) and self._pipe.recv() == READY
        except (EOFError, OSError):
            begun = False
        if not begun:
            self.stop()
            raise CheckError("no process can be started here to look at files", hint="try again later")

    @property
    def alive(self) -> bool:
        return bool(self._process.is_alive())

    def ask(
        self, task: tuple[str, tuple[Any, ...]], seconds: float, waiting: Callable[[], None]
    ) -> tuple[bool, Any]:
        until = time.monotonic() + seconds
        try:
            self._pipe.send(task)
            while not self._pipe.poll(_POLL_SECONDS):
                waiting()
                if time.monotonic() > until:
                    raise TookTooLongError(
                        f"this file takes longer than {seconds:g} s to look at, and was given up",
                        hint="give a shorter or smaller one",
                    )
            answer: tuple[bool, Any] = self._pipe.recv()
        except (EOFError, OSError):
            raise CheckError(
                "the work on this file ended unexpectedly", hint="try another file, or a smaller one"
            ) from None
        return answer

    def stop(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()
        self._process.close()


def _context(module: str) -> Any:
    """Processes begin from one that has everything loaded, and no threads; where there is no such thing, anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context
