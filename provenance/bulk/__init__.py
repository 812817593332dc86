"""Many files, by processes here or by a Ray cluster: one pipeline, two executors.

Start with :mod:`provenance.bulk.executor`. ``feed`` hands out tasks and keeps the order, ``processes`` and ``cluster``
are the executors, ``jobs`` says what a worker does with a file, ``logging`` what the one process does that has the log.
"""
