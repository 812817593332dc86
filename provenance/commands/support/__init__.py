"""What commands share: ``paths`` from words to files, ``batch`` over several inputs, ``console`` and ``show`` for output.

``work`` opens the session that signs, ``secrets`` says where a passphrase or PIN comes from.
"""
