"""The search for a cloak.

Start with :mod:`cloak.attack.search` (the optimiser) and :mod:`cloak.attack.objective` (what it minimises). ``task``
is what it works on, ``transforms`` what a published picture goes through, ``budget`` what may change, ``regions`` the
patches around faces, ``decoys`` where false faces go, ``torchattacks`` the adapter for that library's attacks.
"""
