"""``veilmark trust update``: the one command of this group that uses the network."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.console import clean, say
from provenance.commands.trust.group import app
from provenance.errors import UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.trust.lists import ListedCertificate, TrustList
    from provenance.trust.store import StoredList
    from provenance.trust.update import Difference


@app.command("update")
def update(
    names: Annotated[
        list[str] | None, typer.Argument(help="Lists. Default: every list that has an address.")
    ] = None,
    url: Annotated[str, typer.Option("--url", help="Fetch one list from here from now on (https).")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Take the newer issue without asking.")] = False,
) -> None:
    """Fetch newer issues of published lists over HTTPS, show what they change, and ask before taking them."""
    from provenance.trust.store import TrustStore
    from provenance.trust.update import check_newer, compare, fetch, require_https

    store = TrustStore.load(Home.locate())
    chosen = _chosen(store.lists, names or [], url)
    if url:
        require_https(url)
    for stored in chosen:
        text = fetch(url or stored.url)
        newer = check_newer(stored, text)
        difference = compare(stored.parsed, newer)
        if text == stored.published and (not url or url == stored.url):
            say(f"{stored.name}: unchanged, {_issue(stored.parsed)}")
            continue
        say(f"{stored.name}: {_issue(stored.parsed)} -> {_issue(newer)}")
        _show(difference)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    f"{stored.name} was not changed: nobody is there to agree", hint="add --yes to take it"
                )
            if not typer.confirm("Trust this list from now on?", default=False):
                say(f"{stored.name}: left as it was")
                continue
        store.add_list(text, stored.name, purpose=stored.purpose, url=url or stored.url)
        say(f"{stored.name}: updated")


def _chosen(lists: list[StoredList], names: list[str], url: str) -> list[StoredList]:
    known = {one.name: one for one in lists}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"no list named {clean(unknown[0], 80)!r}", hint="see `veilmark trust list`")
    chosen = [known[name] for name in names] if names else [one for one in lists if one.url]
    if url and len(chosen) != 1:
        raise UsageError("--url is about one list", hint="name it")
    if not chosen:
        raise UsageError(
            "no list has an address to fetch from",
            hint="add the C2PA's with `veilmark trust add --list c2pa`, or name a list and give --url",
        )
    for one in chosen:
        if not (url or one.url):
            raise UsageError(f"the list {one.name} has no address", hint="add --url HTTPS-ADDRESS")
    return chosen


def _issue(parsed: TrustList) -> str:
    if parsed.sequence is None:
        return f"{len(parsed.certificates)} certificates"
    return f"issue {parsed.sequence} of {parsed.issued[:10]}"


def _show(difference: Difference) -> None:
    for sign, listed in (("+", difference.added), ("-", difference.removed), ("!", difference.changed)):
        for one in listed:
            say(f"  {sign} {_line(one)}")
    if difference.others:
        say(f"  {difference.others} allowed certificates or key usages differ")
    if difference.empty:
        say("  the same certificates with the same status")


def _line(one: ListedCertificate) -> str:
    operator = f", {one.operator}" if one.operator else ""
    status = "" if one.trusted else f", {one.status} since {one.since[:10]}: not trusted"
    ends = f"{one.certificate.not_valid_after_utc:%Y-%m-%d}"
    return clean(f"{one.name}{operator}, until {ends}{status}, SHA-256 {one.fingerprint[:16]}", 400)
