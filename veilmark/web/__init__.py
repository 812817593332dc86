"""veilmark in a browser, and as a service: one ASGI application over the public use cases.

The way of a request: ``security`` (host, visitor, rate, headers) -> a route of ``pages`` or ``api`` -> ``forms`` (what
was sent, streamed into the folder of a new job) -> ``jobs`` (one queue) -> ``work`` (one call of a use case such as
``verify_file``) -> a page from ``templates``, which read what the job wrote into its folder.

Start with :func:`veilmark.web.app.create_app`. ``settings`` says what a service may do, ``access`` who may do it,
``commands`` are ``veilmark studio`` and ``veilmark serve``.
"""
