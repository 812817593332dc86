"""Finding records on a service: what a service answers, and how a client checks the answers.

``listing`` says which records others may find; ``public`` answers questions from these alone; ``bands`` is the question
that shows neither picture nor fingerprint; ``matches`` is one answer on the wire. ``client`` asks a service, ``found``
checks what it says against the verifier's own trust. The language is the C2PA Soft Binding Resolution API.
"""
