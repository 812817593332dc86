"""What commands share.

``paths`` turns words into files, ``batch`` works through several inputs, ``console`` and ``show`` print, ``work`` opens
the session that signs, and ``secrets`` says where a passphrase or PIN comes from.
"""
