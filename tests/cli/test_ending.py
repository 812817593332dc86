"""What is left when a command is ended by the machine, or by a terminal that closes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli

_COMMAND = """
import os, pathlib, signal, sys, tempfile, time

for number in (signal.SIGTERM, signal.SIGHUP):  # whoever runs this may have them ignored, as nohup does
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
import cli

@cli.app.command("work")
def work(folder: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".veilmark-") as hidden:
        (pathlib.Path(hidden) / "unlabelled.mp4").write_bytes(b"half made")
        os.kill(os.getpid(), int(os.environ["ENDED_BY"]))
        time.sleep(30)

cli.app(["work", sys.argv[1]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_every_command_that_is_ended_cleans_up_and_says_so(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", _COMMAND, str(tmp_path)]
    environment = {
        **os.environ,
        "ENDED_BY": str(int(number)),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["sign", "a.jpg"], "again with --resume"),
        (["ledger", "status"], "run the same command again;"),
        (["synth", "train", "a", "b", "-o", "c"], "again with --resume"),
    ],
)
def test_an_interruption_says_how_to_go_on(
    words: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C as soon as the command asks for its home, or for its device."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("provenance.home.Home.locate", interrupted)
    monkeypatch.setattr("synth.commands.swap.usable_device", interrupted)
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 130 and "interrupted" in done.output and hint in " ".join(done.output.split())
