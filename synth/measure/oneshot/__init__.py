"""An attacker who needs one picture: a swapper that is told by an embedding whose face it shall draw.

It judges cloaks and is nothing else: no command makes fakes with it, its weights are not shipped and are deleted with
the experiment, and no picture of it leaves but through :mod:`synth.label`. ``network`` is the swapper, ``training``
teaches it, ``attack`` swaps and measures, :mod:`synth.measure.swap.one_shot` makes cells of it.
"""
