"""The public Python API: one object for everything that the ``veilmark`` command does with media.

Each method calls one function of the package that does the work; that function's docstring describes arguments and
errors in full. A method that needs a package of an optional extra raises :class:`~provenance.errors.MissingExtraError`
where it is not installed.
"""

from __future__ import annotations

import os
from pathlib import Path

from provenance.home import Home
from veilmark.choices import StrPath
from veilmark.cloaking import Cloaking
from veilmark.generating import Generating
from veilmark.measuring import Measuring
from veilmark.records import Records

_PASSPHRASE = "VEILMARK_PASSPHRASE"  # noqa: S105 - its name, not its value


class Veilmark(Records, Cloaking, Measuring, Generating):
    """This machine's identity, ledger and trust store; made by :func:`open`. Not to be shared between threads."""


def open(
    home: StrPath | Home | None = None, *, identity: str | None = None, passphrase: str | None = None
) -> Veilmark:
    """Open veilmark on this machine; use it in a ``with`` block, or call :meth:`Veilmark.close`.

    Nothing is read or unlocked before a method needs it: verifying needs neither an identity nor a ledger.

    Args:
        home: the folder of identity, ledger and trust store; default ``VEILMARK_HOME``, else this user's data folder.
        identity: the name of the identity that signs; default the machine's default identity.
        passphrase: of its key, where that is encrypted; default ``VEILMARK_PASSPHRASE``.
    """
    place = home if isinstance(home, Home) else Home.locate() if home is None else Home.at(Path(home))
    return Veilmark(place, identity=identity, passphrase=passphrase or os.environ.get(_PASSPHRASE))
