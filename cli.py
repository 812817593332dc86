"""The ``veilmark`` command: parse, call one function, print.

Each command lives in its package's ``commands``; this file names them in the order a person meets them, loads only
the one that was asked for, and turns every expected error into one line, a hint and an exit code (see
:mod:`provenance.errors`).
"""

from __future__ import annotations

import gc
import inspect
import os

# NumPy's products here are small; its threads would only wait for each other, most of all with several workers
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import io
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from provenance.commands.support.console import advise, complain, note, say
from provenance.errors import ExitCode, VeilmarkError
from provenance.extras import missing_extra
from provenance.interrupt import ending_cleanly
from provenance.version import VERSION

# a command lives shortly: by default Python would look for garbage dozens of times while its modules load
gc.set_threshold(50_000)

#: Where a context keeps the words of the command line.
_WORDS = "veilmark.words"


#: Where each command is, as ``module:name``, and the line that ``veilmark --help`` shows for it (which is the first
#: paragraph of its own help; so that this page loads none of them).
_COMMANDS = {
    "init": (
        "provenance.commands.init:init",
        "Make an identity and a ledger here. Safe to run again: what exists is kept.",
    ),
    "sign": ("provenance.commands.sign:sign", "Sign what you captured: manifest, ledger entry, receipt."),
    "verify": (
        "provenance.commands.verify:verify",
        "Verify manifests, receipts and ledger records. Needs no `init`, and no network unless asked.",
    ),
    "find": (
        "provenance.commands.find:find",
        "Find the records of a file by its hashes and its looks, even after its metadata was stripped.",
    ),
    "extract": (
        "provenance.commands.extract:extract",
        "Extract a file's manifest store, the thumbnails of its ingredients, or its crJSON. "
        "Judges nothing: see verify.",
    ),
    "record": (
        "provenance.commands.record:record",
        "Fingerprint and log files without touching them; the receipt lies beside the file as FILE.receipt.",
    ),
    "capture": (
        "provenance.commands.capture:capture",
        "Take a photo or a video; it is signed before it is visible under its final name.",
    ),
    "watch": (
        "provenance.commands.capture:watch",
        "Sign whatever appears in a folder, each file once, also across restarts. Ctrl-C, or SIGTERM, ends it.",
    ),
    "cloak": (
        "cloak.commands.cloak:cloak",
        "Hide faces from face detectors before publishing, and link the result to its signed original.",
    ),
    "uncloak": (
        "provenance.commands.uncloak:uncloak",
        "Restore the signed original of a cloaked file, bit for bit. Needs a key that it was sealed for or granted to.",
    ),
    "grant": (
        "provenance.commands.uncloak:grant",
        "Let one more person restore the original of a cloaked file. The file stays as it is. It cannot be taken back.",
    ),
    "consent": (
        "synth.commands.extract:consent",
        "Sign a statement that footage of yours may be used for training, by whom, for what, and how long.",
    ),
    "detect": (
        "synth.commands.detect:detect",
        "Score how much a video or a picture looks like a deepfake, and show why.",
    ),
    "schema": (
        "provenance.commands.schema:schema",
        "Print the JSON Schema of an object that --json prints, or list the schemas.",
    ),
    "models": (
        "cloak.commands.models:models_app",
        "Detector weights: licence, source, hash, and how to get them.",
    ),
    "synth": (
        "synth.commands.group:synth_app",
        "The measuring instrument: faces from footage, a swap and a lip-sync generator; all they make is labelled.",
    ),
    "measure": (
        "synth.commands.measure:measure_app",
        "What a cloak is worth: detectors, a face swapper and a lip-sync with and without it.",
    ),
    "ledger": (
        "provenance.commands.ledger:app",
        "The log behind the records: state, receipts, audits, anchors.",
    ),
    "identity": ("provenance.commands.identity:app", "Keys and certificates: who signs."),
    "trust": (
        "provenance.commands.trust:app",
        "What you trust: certificate anchors, trust lists, logs, witnesses, contracts. Nothing else is ever trusted.",
    ),
    "store": ("provenance.commands.store:app", "Manifests and receipts by content id."),
    "studio": (
        "veilmark.web.commands:studio",
        "veilmark in the browser: verify, sign, cloak and look up, on this machine alone. Ctrl-C ends it.",
    ),
    "serve": (
        "veilmark.web.commands:serve",
        "veilmark as a service for a team: pages for people, and an interface for programs under /v1.",
    ),
}


class _Guarded(TyperGroup):
    """Loads a command when it is asked for.

    Expected errors end as one line and a hint; a traceback needs ``--debug``.
    """

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return [*_COMMANDS, *(name for name in self.commands if name not in _COMMANDS)]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            self.add_command(_load(cmd_name), cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        if args and args[0] not in _COMMANDS:  # a wrong name: the nearest of all names is suggested
            for name in _COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # a file's name may hold bytes that are no text: shown as \\udcXX, which JSON reads back
                stream.reconfigure(errors="backslashreplace")
        try:
            # ended by the machine, or by a terminal that closes: as with Ctrl-C, nothing half made is left
            with ending_cleanly():
                return super().invoke(ctx)
        except typer.Exit:
            raise
        except VeilmarkError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            complain(str(error), error.hint)
            ctx.exit(int(error.exit_code))
        except (KeyboardInterrupt, typer.Abort):
            note("interrupted")
            advise(self._way_on(ctx))
            ctx.exit(int(ExitCode.INTERRUPTED))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(int(ExitCode.OK))
        except Exception as error:
            if hasattr(error, "show"):
                raise  # a usage error of the command line, which knows how to show itself
            missing = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
            if missing:
                complain(str(missing), missing.hint)
                ctx.exit(int(missing.exit_code))
            if ctx.params.get("debug"):
                traceback.print_exc()
            text = " ".join(str(error).split())[:300]
            complain(f"unexpected {type(error).__name__}: {text}", "run it again as `veilmark --debug ...`")
            ctx.exit(int(ExitCode.UNREADABLE))

    def _way_on(self, ctx: typer.Context) -> str:
        """What to do after an interruption: some commands go on by themselves, some with an option."""
        command: Any = self
        for word in ctx.meta[_WORDS]:
            command = getattr(command, "commands", {}).get(word, command)
        if any("--resume" in parameter.opts for parameter in command.params):
            return "run the same command again with --resume; what was finished is kept"
        return "run the same command again; what was finished is kept"


app = typer.Typer(
    name="veilmark",
    cls=_Guarded,
    help="Sign what you capture. Cloak what you publish. Prove both.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # for this page and for usage errors: rich's panels take longer to load than all else
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"veilmark {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Sign what you capture. Cloak what you publish. Prove both."""


def _load(name: str) -> Any:
    """The command or group of commands of that name, as Typer builds it."""
    module, _, attribute = _COMMANDS[name][0].partition(":")
    if not module.startswith("provenance."):
        gc.set_threshold(700)  # what computes holds much memory in few objects
    target = getattr(import_module(module), attribute)
    holder = typer.Typer(add_completion=False)
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name)
    else:
        holder.command(name)(target)
    _reflow(holder)
    return typer.main.get_group(holder).commands[name]


def _reflow(commands: typer.Typer) -> None:
    """Join the lines of each paragraph of a command's help, so that it wraps at the width of the terminal."""
    for command in commands.registered_commands:
        text = command.help or inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    for group in commands.registered_groups:
        if group.typer_instance:
            _reflow(group.typer_instance)


if __name__ == "__main__":
    app(prog_name="veilmark")
