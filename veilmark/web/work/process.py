"""Work that takes long runs in a process of its own: it can be stopped at any time, and gives its memory back.

The process gets its task on standard input and answers with one JSON object a line on standard output: how far it is,
and in the end a result or an error. It ends by itself when the service is gone.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from provenance.errors import CheckError, ExitCode, VeilmarkError
from veilmark.web.job import Job

_MODULE = "veilmark.web.work.cloak_process"
_MAX_LINE = 16 * 1024**2
_POLL_SECONDS = 0.2


def run_task(job: Job, task: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Run one task, telling the job how far it is.

    Args:
        task: JSON; ``work`` names the function of the process.
        seconds: after which it is stopped.

    Raises:
        CancelledError: the owner cancelled the job.
        VeilmarkError: what the process says went wrong, with its own exit code.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)},
        cwd=job.folder,
    )
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    until = time.monotonic() + seconds
    try:
        _give(process.stdin, task)
        while True:
            if time.monotonic() > until:
                raise CheckError("this took too long and was stopped", hint="give a smaller file")
            try:
                line = lines.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                job.tell()
                continue
            if not line:
                raise CheckError("the work ended unexpectedly", hint="try again, or give a smaller file")
            said = json.loads(line)
            if "result" in said:
                return dict(said["result"])
            if "error" in said:
                raise _error(said)
            job.note = said.get("note", job.note)
            job.tell(said.get("progress"), said.get("words"))
    finally:
        _stop(process)


def _give(stream: IO[bytes] | None, task: Mapping[str, Any]) -> None:
    if stream is not None:
        stream.write(json.dumps(dict(task)).encode() + b"\n")
        stream.flush()  # and left open: that it closes tells the process that the service is gone


def _read(stream: IO[bytes] | None, lines: queue.Queue[bytes]) -> None:
    if stream is not None:
        with stream:
            while line := stream.readline(_MAX_LINE):
                lines.put(line)
    lines.put(b"")


def _error(said: Mapping[str, Any]) -> VeilmarkError:
    error = VeilmarkError(str(said["error"]), hint=str(said.get("hint", "")))
    error.exit_code = ExitCode(int(said.get("exit_code", ExitCode.UNREADABLE)))
    return error


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
