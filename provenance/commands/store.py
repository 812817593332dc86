"""``veilmark store``: manifests and receipts by content id, here, on IPFS and in buckets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.console import complain, note, progress, say
from provenance.errors import ExitCode
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.store.base import ContentStore

app = typer.Typer(help="Manifests and receipts by content id.", no_args_is_help=True)
Cids = Annotated[list[str], typer.Argument(help="Content ids (CIDv1).")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")]
LOCAL_DAEMON = "/ip4/127.0.0.1/tcp/5001"


@app.command("list")
def list_() -> None:
    """List the content ids that are kept here."""
    from provenance.store.local import LocalStore

    for cid in LocalStore(Home.locate().store).cids():
        say(str(cid))


@app.command("get")
def get(
    cid: Annotated[str, typer.Argument(help="A content id (CIDv1).")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write. Default: standard output.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="A bucket that it was pushed to: s3://BUCKET/PREFIX.")
    ] = None,
    force: Force = False,
) -> None:
    """Print or write one stored object; its bytes are checked against its id."""
    from provenance.media.files import write_bytes
    from provenance.store.local import LocalStore

    if source is None:
        data = LocalStore(Home.locate().store).get(cid)
    else:
        from provenance.store.objects import ObjectStore

        data = ObjectStore(source).get(cid)
    if output:
        write_bytes(output, data, force=force)
    else:
        sys.stdout.buffer.write(data)


@app.command("queue")
def queue(cids: Cids) -> None:
    """Queue objects for upload. A manifest shows what it says about its file: think before you publish it."""
    from provenance.errors import StoreError
    from provenance.store.local import LocalStore
    from provenance.store.queue import UploadQueue

    home = Home.locate()
    store, waiting = LocalStore(home.store), UploadQueue(_queue_folder(home))
    for cid in cids:
        if not store.has(cid):
            raise StoreError(f"{cid[:80]} is not in the store", hint="see `veilmark store list`")
    for cid in cids:
        waiting.add(cid)
    say(f"{len(waiting)} waiting; upload with `veilmark store push`")


@app.command("push")
def push(
    ipfs: Annotated[
        str, typer.Option("--ipfs", help="The IPFS daemon's HTTP API (multiaddr).")
    ] = LOCAL_DAEMON,
    to: Annotated[
        str | None, typer.Option("--to", help="A bucket instead: s3://BUCKET/PREFIX, gs:// or az://.")
    ] = None,
) -> None:
    """Upload what waits to an IPFS daemon, pinned there, or to a bucket. What fails waits for the next push."""
    from provenance.store.local import LocalStore
    from provenance.store.queue import UploadQueue
    from provenance.store.queue import push as upload

    home = Home.locate()
    waiting = UploadQueue(_queue_folder(home))
    with progress("Uploading", None):
        done = upload(LocalStore(home.store), waiting, _remote(ipfs, to))
    for cid in done.uploaded:
        say(f"uploaded {cid}")
    for cid, error in done.failed:
        complain(f"{cid}: {error}")
    if done.waiting:
        note(f"{done.waiting} still waiting")
        raise typer.Exit(int(ExitCode.PARTIAL))


@app.command("export")
def export(
    target: Annotated[Path, typer.Argument(help="The CAR file to write.")], cids: Cids, force: Force = False
) -> None:
    """Write objects and all their blocks into one CAR file."""
    from provenance.store.car import export_car
    from provenance.store.local import LocalStore

    done = export_car(LocalStore(Home.locate().store), cids, target, force=force)
    say(f"exported {len(done.roots)} objects, {done.blocks} blocks, {done.bytes} bytes")


@app.command("import")
def import_(source: Annotated[Path, typer.Argument(help="A CAR file.")]) -> None:
    """Put a CAR file's blocks into the store; each is checked against its id."""
    from provenance.store.car import import_car
    from provenance.store.local import LocalStore

    done = import_car(LocalStore(Home.locate().store), source)
    say(f"imported {len(done.roots)} objects, {done.blocks} blocks, {done.bytes} bytes")


def _remote(ipfs: str, bucket: str | None) -> ContentStore:
    if bucket is not None:
        from provenance.store.objects import ObjectStore

        return ObjectStore(bucket)
    from provenance.store.ipfs import IpfsStore

    return IpfsStore(ipfs)


def _queue_folder(home: Home) -> Path:
    return home.data / "upload-queue"
