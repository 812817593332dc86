"""A measurement as a report: one JSON object and one HTML file.

Start with :mod:`synth.report.document`. ``page`` renders it, ``curve`` draws.
"""
