"""From a file without credentials back to its record.

Start with :mod:`provenance.search.lookup`. ``similar`` ranks candidates, ``alignment`` lays recordings against each
other, ``hash_index``, ``multi_index`` and ``feature_index`` find candidates, ``index_store`` keeps them on disk.
"""
