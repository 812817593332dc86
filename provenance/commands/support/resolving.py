"""``veilmark find --service``: ask, check, print."""

from __future__ import annotations

from pathlib import Path

from provenance.commands.support.batch import Outcome, run_batch
from provenance.commands.support.console import print_json, say, whole
from provenance.commands.support.paths import Input, gathered
from provenance.home import Home
from provenance.media.files import refuse_existing, write_bytes
from provenance.resolve.check import Proof, Resolved
from provenance.resolve.client import Service
from provenance.resolve.find import How, Resolution, find_on_service
from provenance.trust.store import TrustStore
from provenance.verdict import LedgerStatus
from provenance.words import likeness_words, what_words

_PROOFS = {
    Proof.HOLDS: "in a log you trust, {origin}",
    Proof.UNKNOWN_LOG: "in a log you do not trust, {origin}",
    Proof.FAILS: "ITS PROOF DOES NOT HOLD",
    Proof.NONE: "without a receipt",
}


def ask_service(
    paths: list[Path],
    url: str,
    *,
    private: bool,
    upload: bool,
    hide_among: int,
    save: Path | None,
    as_json: bool,
    verbose: bool,
    force: bool,
    rpc: list[str],
) -> int:
    """Look each file up on a service; returns the exit code."""
    how = How.PRIVATE if private else How.CONTENT if upload else How.FINGERPRINT
    service, trust = Service(url), TrustStore.load(Home.locate())
    check_anchor = None
    if rpc:
        from provenance.commands.ledger.anchors import anchor_checker

        check_anchor = anchor_checker(trust, rpc, None, None, None, 1)
    with gathered(paths) as inputs:

        def work(index: int, item: Input) -> Outcome:
            found = find_on_service(
                item.path, service, trust, how=how, hide_among=hide_among, check_anchor=check_anchor
            )
            if save is not None:
                _save(found, save, force)
            return found.exit_code, found

        def show(item: Input, found: Resolution) -> None:
            if as_json:
                print_json({**found.to_json(), "path": item.shown})
            else:
                _show(item.shown, found, verbose)

        return int(run_batch("Asking", inputs, work, show, as_json=as_json))


def _save(found: Resolution, folder: Path, force: bool) -> None:
    """Each receipt under its log's name and its number; those whose proof does not hold are not kept."""
    for one in found.records:
        if one.receipt is None or one.proof is Proof.FAILS:
            continue
        log = "".join(c if c.isalnum() or c in ".-" else "_" for c in one.origin)[:80].lstrip(".")
        target = folder / f"{log}-{one.index}.receipt"
        data = one.receipt.to_bytes()
        if not (target.is_file() and target.read_bytes() == data):
            refuse_existing(target, force)
            write_bytes(target, data, force=force)


def _show(shown: str, found: Resolution, verbose: bool) -> None:
    count = len(found.records)
    what = f"{count} record{'s' if count > 1 else ''} found" if count else "no record found"
    say(whole(shown), f": {what} on {found.service}")
    if found.how is How.PRIVATE:
        bits = f"{found.bits} of 256 bits" if found.bits else "nothing"
        say(
            f"  the service was shown {bits} of the fingerprint; it answered with {found.hidden_among} records"
        )
    for one in found.records:
        label = f"no. {one.index}" if one.index >= 0 else "manifest"
        say(f"  {label:<9}", _line(one), indent=11)
        if one.anchor_detail:
            say(f"  {'':<9}", ("anchor:", "dim"), f" {_anchor(one)}", indent=11)
        for fault in one.faults:
            say(f"  {'':<9}", ("fault:", "yellow"), f" {fault}", indent=11)
        if verbose:
            for text in (one.manifest_id, one.file_sha256, one.key_id):
                if text:
                    say(f"  {'':<9}", (text, "dim"), indent=11)
    for text in found.refused:
        say("  ", ("refused:", "yellow"), f" {text}", indent=4)


def _anchor(one: Resolved) -> str:
    """What became of the anchor that the receipt names; where no node was asked, how to."""
    said = one.anchor_detail.removeprefix("anchor ")
    asked = one.anchor is not LedgerStatus.ANCHOR_NOT_CHECKED or one.proof is not Proof.HOLDS
    return said if asked or "no node" not in said else f"{said} (--rpc URL asks one)"


def _line(one: Resolved) -> str:
    trusted = "you trust this signer" if one.signer_trusted else "name not confirmed"
    if one.match is None:
        likeness = "said to be alike; not found so here"
    else:
        likeness = likeness_words(one.match, one.distance, one.transform)
    proof = _PROOFS[one.proof].format(origin=one.origin)
    who = f"{whole(one.signer_name)} ({trusted})" if one.signer_name else "signer not known"
    said = [likeness, what_words(one.relation, ""), who, one.time, proof]
    witnesses = ", ".join(f"{name} at {time}" for name, time in one.witnessed.items())
    return "; ".join(text for text in (*said, f"seen by {witnesses}" if witnesses else "") if text)
