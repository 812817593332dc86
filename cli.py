"""The ``veilmark`` command: parse, call one function, print.

Each command lives in its package's ``commands``; this file names them in the order a person meets them, and
turns every expected error into one line, a hint and an exit code (see :mod:`provenance.errors`).
"""

from __future__ import annotations

import inspect
import os

# NumPy's products here are small; its threads would only wait for each other, most of all with several workers
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import io
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import cloak.commands.cloak
import cloak.commands.models
import provenance.commands.capture
import provenance.commands.extract
import provenance.commands.find
import provenance.commands.identity
import provenance.commands.init
import provenance.commands.ledger
import provenance.commands.record
import provenance.commands.schema
import provenance.commands.sign
import provenance.commands.store
import provenance.commands.trust
import provenance.commands.uncloak
import provenance.commands.verify
import synth.commands.detect
import synth.commands.extract
import synth.commands.lipsync
import synth.commands.measure
import synth.commands.swap
from provenance.commands.support.console import advise, complain, note, say
from provenance.errors import ExitCode, VeilmarkError
from provenance.extras import missing_extra
from provenance.interrupt import ending_cleanly
from provenance.version import VERSION


class _Guarded(TyperGroup):
    """Expected errors end as one line and a hint; a traceback needs ``--debug``."""

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
        command = self.commands.get(ctx.invoked_subcommand or "")
        if command is not None and any("--resume" in parameter.opts for parameter in command.params):
            return "run the same command again with --resume; what was finished is kept"
        return "run the same command again; what was finished is kept"


app = typer.Typer(
    name="veilmark",
    cls=_Guarded,
    help="Sign what you capture. Cloak what you publish. Prove both.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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


app.command("init")(provenance.commands.init.init)
app.command("sign")(provenance.commands.sign.sign)
app.command("verify")(provenance.commands.verify.verify)
app.command("find")(provenance.commands.find.find)
app.command("extract")(provenance.commands.extract.extract)
app.command("record")(provenance.commands.record.record)
app.command("capture")(provenance.commands.capture.capture)
app.command("watch")(provenance.commands.capture.watch)
app.command("cloak")(cloak.commands.cloak.cloak)
app.command("uncloak")(provenance.commands.uncloak.uncloak)
app.command("grant")(provenance.commands.uncloak.grant)
app.add_typer(cloak.commands.models.models_app, name="models")
app.command("consent")(synth.commands.extract.consent)
synth.commands.extract.synth_app.command("train")(synth.commands.swap.train)
synth.commands.extract.synth_app.command("prior")(synth.commands.swap.prior)
synth.commands.extract.synth_app.command("swap")(synth.commands.swap.swap)
synth.commands.extract.synth_app.command("mouth")(synth.commands.lipsync.mouth)
synth.commands.extract.synth_app.command("lipsync")(synth.commands.lipsync.lipsync)
app.add_typer(synth.commands.extract.synth_app, name="synth")
app.command("detect")(synth.commands.detect.detect)
app.add_typer(synth.commands.measure.measure_app, name="measure")
app.add_typer(provenance.commands.ledger.app, name="ledger")
app.add_typer(provenance.commands.identity.app, name="identity")
app.add_typer(provenance.commands.trust.app, name="trust")
app.add_typer(provenance.commands.store.app, name="store")
app.command("schema")(provenance.commands.schema.schema)


def _reflow(commands: typer.Typer) -> None:
    """Join the lines of each paragraph of a command's help, so that it wraps at the width of the terminal."""
    for command in commands.registered_commands:
        text = command.help or inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    for group in commands.registered_groups:
        if group.typer_instance:
            _reflow(group.typer_instance)


_reflow(app)

if __name__ == "__main__":
    app(prog_name="veilmark")
