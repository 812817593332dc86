"""A measurement as a report: one JSON object and one HTML file.

Start with :mod:`synth.report.document`. ``write`` writes it into a folder, ``page`` renders it from ``templates/``,
``curve`` says where lines lie.
"""
