"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from provenance.errors import NotWritableError, OutputExistsError, ReceiptError


def is_file(path: Path) -> bool:
    """Whether there is such a file; no, where there cannot be one (a name too long, a loop of links)."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_limited(path: Path, limit: int) -> bytes | None:
    """A file's bytes, or None where there are more than ``limit``; a device or pipe is read no further than that.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    return data if len(data) <= limit else None


def refuse_existing(path: Path, force: bool) -> None:
    """Raise :class:`OutputExistsError` when ``path`` exists and ``force`` is false.

    Raises:
        NotWritableError: there can be no file of that name, because it is too long.
    """
    if len(os.fsencode(path.name)) > _longest_name(path.parent):
        raise NotWritableError(f"cannot write {path}: File name too long", hint="choose a shorter name")
    if not force and path.exists():
        raise OutputExistsError(f"{path} already exists")


def _longest_name(folder: Path) -> int:
    """How many bytes a name may have there."""
    existing = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), None)
    if existing is None or not hasattr(os, "pathconf"):
        return 255
    return os.pathconf(existing, "PC_NAME_MAX")


def require_writable(path: Path) -> None:
    """Find out before long work whether ``path`` can be written at the end; its folder is made if it is missing.

    Raises:
        NotWritableError: the folder cannot be created or written.
    """
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".veilmark-")
        os.close(handle)
        Path(name).unlink()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWritableError(f"cannot write in {folder}: {error.strerror or error}") from error


@contextlib.contextmanager
def replacing(
    path: Path, *, force: bool = True, mode: int | None = None, scratch: Path | None = None
) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success sync it and rename it over ``path``.

    The temporary file keeps ``path``'s suffix, because some writers choose the format by it. When the body
    raises, the temporary file is removed and ``path`` is untouched. ``mode`` sets the permission bits before
    any byte is written (default: the umask's). ``scratch`` is a folder for the temporary file, where nothing that is
    not complete may lie beside ``path``; it is copied from there in the end.

    Raises:
        OutputExistsError: ``path`` exists and ``force`` is false.
        NotWritableError: the folder cannot be created or written.
    """
    refuse_existing(path, force)
    if scratch is not None:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            complete = Path(folder) / f"complete{path.suffix[-16:]}"
            complete.touch()
            yield complete
            with replacing(path, force=force, mode=mode) as temporary:
                shutil.copyfile(complete, temporary)
        return
    temporary = begin_file(path, mode)
    try:
        yield temporary
        put_in_place(temporary, path, force=force)
    except OSError as error:
        raise NotWritableError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def begin_file(path: Path, mode: int | None = None) -> Path:
    """An empty temporary file beside ``path``, for :func:`put_in_place`; :func:`remove_stale` knows it.

    Raises:
        NotWritableError: the folder cannot be created or written.
    """
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_own_prefix(), suffix=path.suffix[-16:])
        os.fchmod(handle, mode if mode is not None else 0o666 & ~_umask())
        os.close(handle)
    return Path(name)


def put_in_place(temporary: Path, path: Path, *, force: bool) -> None:
    """Sync a complete temporary file and rename it over ``path``.

    Raises:
        OutputExistsError: ``path`` exists and ``force`` is false.
        NotWritableError: it cannot be written.
    """
    try:
        flush(temporary)
        if force:
            temporary.replace(path)
        else:
            # link() fails when the name was taken meanwhile, rename() would silently overwrite
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise OutputExistsError(f"{path} already exists") from None
            except OSError:
                refuse_existing(path, force)
                temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        raise NotWritableError(f"cannot write {path}: {error.strerror or error}") from error


def write_bytes(path: Path, data: bytes, *, force: bool = True, mode: int | None = None) -> None:
    """Atomically write ``data`` to ``path``; see :func:`replacing`."""
    with replacing(path, force=force, mode=mode) as temporary:
        temporary.write_bytes(data)


def private_database(path: Path) -> Path:
    """The path of a database that only its owner may read; the file is made where there is none.

    Databases put what they write beside themselves under the same permissions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    if os.name == "posix" and path.stat().st_mode & 0o077:  # made by an earlier version, or copied
        path.chmod(0o600)
    return path


def remove_stale(folder: Path) -> list[Path]:
    """Remove the temporary files that processes of this machine left in ``folder`` when they were killed.

    Returns:
        what was removed: files of :func:`replacing` whose process is gone, or that were not touched for a day.
    """
    removed = []
    for path in folder.glob(f"{_TEMPORARY}*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and _is_stale(path):
                path.unlink()
                removed.append(path)
    return removed


_TEMPORARY = ".veilmark-"
_DAY = 86_400


def _own_prefix() -> str:
    return f"{_TEMPORARY}{_machine()}-{os.getpid()}-"


def _machine() -> str:
    """Tells machines apart that write into one shared folder, whose process numbers say nothing here."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_stale(path: Path) -> bool:
    machine, _, rest = path.name.removeprefix(_TEMPORARY).partition("-")
    number = rest.partition("-")[0]
    if machine == _machine() and number.isdecimal() and os.name == "posix":
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False
    return time.time() - path.stat().st_mtime > _DAY


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


def flush(path: Path) -> None:
    """Bring a file to the disk or, where the platform can, a folder entry."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_companion(path: Path, limit: int) -> bytes:
    """A companion file's bytes, whatever kind of file it is.

    Raises:
        ReceiptError: it is missing, unreadable or over ``limit`` bytes.
    """
    try:
        data = read_limited(path, limit)
    except OSError as error:
        raise ReceiptError(f"cannot read {path}: {error.strerror or error}") from error
    if data is None:
        raise ReceiptError(f"{path} is over the limit of {limit} bytes")
    return data


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
