"""Long work that a person may stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible(then: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Ctrl-C (or a request to end) sets a flag, so that a step is always whole; a second one interrupts at once.

    Args:
        then: called at the first one, within the signal's handler.

    Yields:
        a function that says whether to stop.
    """
    asked: list[int] = []

    def remember(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        then()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """A request to end, or a closed terminal, interrupts as Ctrl-C does, so that nothing generated is left behind
    without its label. Outside of the main thread, where no signal arrives, it does nothing.
    """

    def interrupt(number: int, _: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
        # what is ignored on purpose (nohup) stays so
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C, and a request to end, wait until a call into the c2pa library is over.

    The library reads, writes and signs through callbacks into Python. An exception that a signal raises in one of them
    is dropped there, and what the library then makes of it looks like a file that cannot be read. Also a decorator.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, Any]] = []
    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
        if callable(handler := signal.getsignal(number))
    }
    for number in before:
        signal.signal(number, lambda *asked: waiting.append(asked))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number, frame in waiting[:1]:
            before[number](number, frame)
