"""What commands share.

``paths`` turns arguments into files, ``batch`` works through several inputs, ``console`` and ``show`` print, ``work``
opens the session that signs, ``secrets`` finds passphrases and PINs, ``grouped`` lets a command take options in groups.
"""
