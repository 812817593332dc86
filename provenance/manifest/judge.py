"""What a checked manifest means for the verdict: the content, the signer, the identities, and what expired."""

from __future__ import annotations

from datetime import UTC, datetime

from provenance.identity.certificates import read_der
from provenance.manifest.report import Failure, FailureKind, ManifestReport, ManifestState
from provenance.verdict import (
    TRUSTED_LOG,
    Check,
    CheckName,
    Credential,
    Signer,
    State,
    Time,
    TimeKind,
    Verdict,
)

#: What the kinds of manifest failures mean to a person.
_PLAIN = {
    FailureKind.CONTENT: "the content was changed after it was signed",
    FailureKind.SIGNATURE: "the signature does not verify",
    FailureKind.ASSERTION: "a statement in the manifest was altered",
    FailureKind.CLAIM: "a part of the manifest is missing or damaged",
    FailureKind.CERTIFICATE: "the certificate cannot be relied on",
}
_TRUSTED = "the certificate chains to an anchor you trust"
_NOT_TRUSTED = "the certificate chains to no anchor you trust; the name is a claim"
_NOT_JUDGED = "not judged: the content is not what was signed"


def judge_manifest(verdict: Verdict, report: ManifestReport) -> None:
    """Enter into a verdict what a manifest says and how it checked out."""
    verdict.credential = Credential.EMBEDDED if report.embedded else Credential.SIDECAR
    if report.state is ManifestState.UNSUPPORTED:
        verdict.checks.append(Check(CheckName.MANIFEST, None, report.unsupported))
        return
    verdict.title = report.title
    verdict.stated = dict(report.stated)
    verdict.source_type = report.digital_source_type
    verdict.actions = report.actions
    verdict.ingredients = report.ingredients
    verdict.training = dict(report.training)
    if report.signed_time and report.time_kind:
        verdict.times.append(Time(report.signed_time, report.time_kind))
    for failure in report.failures:
        verdict.checks.append(Check(CheckName.MANIFEST, False, in_words(failure), failure.code))
    if not report.failures:
        verdict.checks.append(Check(CheckName.MANIFEST, True, "content, assertions and signature match"))
    _judge_signer(verdict, report)
    _judge_identities(verdict, report)
    for failure in report.ingredient_failures:
        if failure not in report.failures:
            verdict.warnings.append(f"{in_words(failure)} ({failure.code})")
            verdict.caveats.append(f"what it was made from, {failure.ingredient!r}, does not verify")


def conclude_unsupported(verdict: Verdict, report: ManifestReport) -> None:
    """The verdict on a manifest that cannot be read because of its version: nothing is known of it."""
    verdict.state = State.NOT_CHECKED
    verdict.headline = f"carries a credential that was not checked: {report.unsupported}"


def conclude_expired(verdict: Verdict, report: ManifestReport) -> None:
    """The verdict on a manifest whose only fault is that its certificate is no longer valid."""
    verdict.state = State.EXPIRED
    ended = _end_of_validity(report)
    when = f" on {ended:%Y-%m-%d}" if ended else ""
    verdict.headline = (
        f"expired, content unchanged: the certificate of {report.signer_name!r} ended{when},"
        " and no time stamp that you trust shows that it was signed before"
    )
    if ended is None or verdict.ledger_status not in TRUSTED_LOG:
        return
    before = [time for time in verdict.times if _is_before(time, ended)]
    for kind, words in (
        (TimeKind.ANCHORED, "its record was anchored on a chain before, on {time.value}"),
        (TimeKind.WITNESSED, "{time.by}, a witness you trust, saw its record before, on {time.value}"),
        (
            TimeKind.RECORD,
            "a log you trust holds its record, dated before by the signer's own clock: {time.value}",
        ),
    ):
        for time in before:
            if time.kind is kind:
                verdict.headline += "; " + words.format(time=time)
                return


def _judge_signer(verdict: Verdict, report: ManifestReport) -> None:
    """By the active manifest's own validation: what it was made from has no say in who signed it."""
    own_faults = [one for one in report.failures if not one.ingredient]
    trusted: bool | None = report.signer_trusted
    if own_faults and not report.expired:
        trusted = None
    if report.key_id:
        verdict.signer = Signer(
            report.signer_name, report.key_id, report.issuer, report.algorithm, trusted=trusted
        )
    detail = _NOT_JUDGED if trusted is None else _TRUSTED if trusted else _NOT_TRUSTED
    if report.expired and not trusted:
        detail = "the certificate is not valid any more; the name is a claim"
    verdict.checks.append(Check(CheckName.SIGNER, True if trusted else None, detail))


def _judge_identities(verdict: Verdict, report: ManifestReport) -> None:
    verdict.identities = report.identities
    for one in report.identities:
        by = f", issued by {one.issuer!r}" if one.issuer else ""
        if one.confirmed:
            detail = f"{one.name!r}{by}: confirmed, its credential chains to an identity anchor you trust"
        elif one.fault:
            detail = f"{one.name!r}{by}: not confirmed, it does not verify: {one.fault}"
            verdict.warnings.append(f"the identity {detail}")
        else:
            detail = f"{one.name!r}{by}: not confirmed, its credential chains to no identity anchor you trust"
        verdict.checks.append(Check(CheckName.IDENTITY, True if one.confirmed else None, detail))


def in_words(failure: Failure) -> str:
    """What a failure means to a person."""
    said = "; ".join(part for part in (_PLAIN.get(failure.kind, ""), failure.explanation) if part)
    for what, name in (("ingredient", failure.ingredient), ("fragment", failure.fragment)):
        if name:
            return f"the {what} {name!r} does not verify: {said}"
    return said


def said_plainly(detail: str) -> str:
    """The detail of a failed check without what only experts read."""
    for plain in _PLAIN.values():
        before, found, _ = detail.partition(plain)
        if found:
            return before + plain
    return detail


def _end_of_validity(report: ManifestReport) -> datetime | None:
    """When the first certificate of the signer's chain ended."""
    try:
        chain = [read_der(der) for der in report.chain_der]
    except ValueError:
        return None
    return min((one.not_valid_after_utc for one in chain), default=None)


def _is_before(time: Time, limit: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(time.value)
    except ValueError:
        return False
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) <= limit
