"""``veilmark capture`` and ``veilmark watch``: signing at capture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.support.console import note, print_json, progress, say, whole
from provenance.commands.support.work import session_for
from provenance.errors import ExitCode, UsageError
from provenance.home import Home
from provenance.interrupt import interruptible

if TYPE_CHECKING:
    from provenance.capture.capture import Capture
    from provenance.capture.watch import WatchEvent
    from provenance.sign import SignResult


def capture(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The signed file: .jpg, .png, .webp ... or .mp4.")
    ],
    device: Annotated[
        str, typer.Option("--device", help="A camera's number or path, a film, or a stream's URL.")
    ] = "0",
    video: Annotated[
        float | None, typer.Option("--video", help="Record so many seconds instead of one photo.")
    ] = None,
    photo: Annotated[bool, typer.Option("--photo", help="Take one photo (the default).")] = False,
    device_name: Annotated[
        str | None, typer.Option("--device-name", help="Maker and model, published in the manifest.")
    ] = None,
    identity: Annotated[str | None, typer.Option(help="Which identity signs.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Take a photo or a video; it is signed before it is visible under its final name."""
    from provenance.capture.capture import capture_photo, capture_video
    from provenance.manifest.embed import ManifestSpec
    from provenance.media.files import refuse_existing
    from provenance.sign import SignRequest, sign_file

    if photo and video:
        raise UsageError("--photo and --video exclude each other")
    home = Home.locate()
    home.require_initialized()
    refuse_existing(output, force)
    source: str | int = int(device) if device.isdecimal() else device
    with session_for(home, identity) as session:

        def sign(taken: Capture, target: Path) -> SignResult:
            spec = ManifestSpec(
                digital_source_type="digitalCapture", captured_at=taken.captured_at, device=device_name or ""
            )
            return sign_file(taken.path, target, SignRequest(spec), session, force=force)

        if video:
            with progress("Recording", None):
                result = capture_video(source, output, sign, seconds=video)
        else:
            result = capture_photo(source, output, sign)
    if as_json:
        print_json(result.to_json())
    else:
        say("captured ", whole(result.output), f"  (record no. {result.index} in your log)")


def watch(
    folder: Annotated[Path, typer.Argument(help="The hot folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where signed files go.")],
    recursive: Annotated[bool, typer.Option("--recursive", help="Folders inside too.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to do.")] = False,
    settle: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds that a file must stand still before it counts as complete."),
    ] = 1.0,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files signed at the same time.")] = 1,
    identity: Annotated[str | None, typer.Option(help="Which identity signs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Sign whatever appears in a folder, each file once, also across restarts. Ctrl-C, or SIGTERM, ends it."""
    import hashlib
    import threading

    from provenance.capture.watch import WatchOptions, watch_folder
    from provenance.manifest.embed import ManifestSpec
    from provenance.sign import SignRequest, sign_file

    home = Home.locate()
    home.require_initialized()
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    journal = home.data / "watch" / f"{name}.sqlite3"
    journal.parent.mkdir(parents=True, exist_ok=True)
    with session_for(home, identity) as session:

        def sign(source: Path, target: Path) -> Any:
            return sign_file(source, target, SignRequest(ManifestSpec()), session)

        def show(event: WatchEvent) -> None:
            if as_json:
                print_json(
                    {
                        "schema": "veilmark.watch/1",
                        "event": event.kind,
                        "path": str(event.path),
                        "output": str(event.output) if event.output else None,
                        "message": event.message,
                    }
                )
            else:
                where = f" -> {whole(event.output)}" if event.output else ""
                note(f"{event.kind} {whole(event.path)}{where} {event.message}".rstrip())

        options = WatchOptions(recursive=recursive, settle_s=settle, jobs=jobs, once=once)
        stop = threading.Event()
        if folder.is_dir() and not once:
            inside = " and the folders in it" if recursive else ""
            note(f"watching {whole(folder)}{inside}; signed files go to {whole(output)}; Ctrl-C ends")
        with interruptible(stop.set):
            counts = watch_folder(folder, output, journal, sign, options=options, on_event=show, stop=stop)
    say(", ".join(f"{kind} {counts.get(kind, 0)}" for kind in ("signed", "failed", "skipped")))
    if counts.get("failed"):
        raise typer.Exit(int(ExitCode.PARTIAL))
