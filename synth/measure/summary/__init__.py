"""From cells to a report: what an experiment showed, as one sentence, tables, curves and pictures.

Start with :func:`synth.measure.summary.report.experiment_report`. ``effects`` compares variants, ``tables`` and
``figures`` lay them out.
"""
