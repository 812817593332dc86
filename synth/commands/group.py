"""``veilmark synth``: its commands in the order in which a person needs them."""

from __future__ import annotations

from synth.commands.extract import synth_app
from synth.commands.lipsync import lipsync, mouth
from synth.commands.swap import prior, swap, train

synth_app.command("train")(train)
synth_app.command("prior")(prior)
synth_app.command("swap")(swap)
synth_app.command("mouth")(mouth)
synth_app.command("lipsync")(lipsync)

__all__ = ["synth_app"]
