"""The job that signs one file for a program. The key is loaded here alone, when there is something to sign."""

from __future__ import annotations

from typing import Any

from provenance.manifest.spec import ManifestSpec
from provenance.record import Relation
from provenance.session import open_session
from provenance.sign import SignRequest
from provenance.sign_once import sign_once
from veilmark.web.job import Job
from veilmark.web.jobs import Kind
from veilmark.web.settings import Settings

KIND = "v1-sign"
#: Free text for the manifest, at most 4,000 characters each.
TEXTS = ("title", "author", "description")


def signing(settings: Settings) -> Kind:
    """Signs into the job's ``out`` folder; ``signed`` of the result is what ``veilmark sign --json`` prints."""

    def run(job: Job) -> dict[str, Any]:
        (source,) = job.files()
        said = job.options
        spec = ManifestSpec(
            relation=Relation.CAPTURED,
            title=said["title"] or source.name,
            author=said["author"],
            description=said["description"],
            allow_training=said["allow_training"],
        )
        target = job.outbox / source.name
        with open_session(
            settings.home, identity=settings.identity, passphrase=settings.passphrase
        ) as session:
            result = sign_once(
                source,
                target,
                SignRequest(spec, discoverable=said["discoverable"]),
                session,
                journal=job.working,
                step=lambda name: job.tell(words=f"Signing: {name}"),
            )
        signed = result.to_json()
        for name in ("source", "output", "sidecar", "receipt"):
            signed[name] = signed[name] and signed[name].rsplit("/", 1)[-1]
        files = [one for one in (signed["output"], signed["sidecar"], signed["receipt"]) if one]
        return {"files": files, "signed": signed}

    return Kind(run)
