"""A real terminal of a given width for a command, and what a person sees on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyte

_ROOT = Path(__file__).parents[2]
_ROWS = 300
#: What a bar or a spinner is drawn with.
BAR = re.compile("[\u2500-\u257f\u2800-\u28ff]")


@dataclass
class Seen:
    """What a command left on the screen, and every state of the screen while it ran."""

    code: int
    lines: list[str]
    states: list[list[str]] = field(repr=False)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def bars(self) -> list[str]:
        """Lines with a bar or a spinner in them, each once, in order."""
        return list(dict.fromkeys(line for state in self.states for line in state if BAR.search(line)))


def on_a_terminal(
    *arguments: object, columns: int, act: Callable[[int, str], None] | None = None, timeout: float = 600
) -> Seen:
    """Run ``veilmark`` with all its streams on a pseudo-terminal.

    Args:
        act: called with the process's id and the whole screen after each output; it may send a signal.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(_ROOT)}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", _START, *map(str, arguments)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    )
    os.close(follower)
    screen = pyte.Screen(columns, _ROWS)
    stream = pyte.ByteStream(screen)
    states: list[list[str]] = []
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            if not select.select([leader], [], [], 1.0)[0]:
                continue
            try:
                data = os.read(leader, 65536)
            except OSError:  # the last one who had it open has closed it
                break
            if not data:
                break
            stream.feed(data)
            states.append(_shown(screen))
            if act is not None:
                act(process.pid, "\n".join(states[-1]))
        code = process.wait(max(10.0, end - time.monotonic()))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(leader)
    return Seen(code, _shown(screen), states)


#: Whoever runs the tests may have these ignored, as nohup does.
_START = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
import cli
cli.app(prog_name="veilmark")
"""


def _shown(screen: pyte.Screen) -> list[str]:
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines
