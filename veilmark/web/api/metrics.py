"""What Prometheus may know: counts and times; no address, no file name, no hash."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from provenance.version import VERSION

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Metrics:
    """One set for each application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        Gauge("veilmark_build", "Version of the program.", ["version"], registry=self._registry).labels(
            VERSION
        ).set(1)
        self._requests = Counter(
            "veilmark_requests", "Requests of programs.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "veilmark_request_seconds",
            "How long they took.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._entries = Gauge("veilmark_log_entries", "Entries of the log.", registry=self._registry)
        self._public = Gauge("veilmark_public_records", "Discoverable records.", registry=self._registry)
        self._jobs = Gauge("veilmark_jobs", "Jobs by state.", ["state"], registry=self._registry)

    def count(self, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered; ``route`` is the pattern, never the path."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, *, entries: int, public: int, jobs: dict[str, int]) -> bytes:
        """All values, in Prometheus' text format."""
        self._entries.set(entries)
        self._public.set(public)
        for state, number in jobs.items():
            self._jobs.labels(state).set(number)
        return generate_latest(self._registry)
