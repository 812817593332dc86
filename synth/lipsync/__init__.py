"""The lip-sync generator: sound and a video of a person give a video of that person saying it.

The method is that of Suwajanakorn, Seitz and Kemelmacher-Shlizerman, "Synthesizing Obama: Learning Lip Sync from
Audio", ACM Transactions on Graphics 36(4), 2017. :func:`make_lipsync` (make.py) is the use case: consent, generate,
label, record. pipeline.py runs the stages:

* mouth/: from sound to the shape of the mouth.
* person.py, shape.py: the target's face: landmarks, pose, frontal pictures.
* texture/: from shapes to pictures of the lower face, made of the person's own frames, and back into the frame.
* film/: which frame of the target is shown when; writing the film.
* workspace.py: results that a second run needs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from synth.lipsync.film.retime import retime as retime
    from synth.lipsync.make import LipsyncRequest as LipsyncRequest
    from synth.lipsync.make import LipsyncResult as LipsyncResult
    from synth.lipsync.make import make_lipsync as make_lipsync
    from synth.lipsync.mouth.model import MouthModel as MouthModel
    from synth.lipsync.mouth.model import MouthOptions as MouthOptions
    from synth.lipsync.mouth.train import train_mouth as train_mouth
    from synth.lipsync.pipeline import LipsyncOptions as LipsyncOptions

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "LipsyncResult": "synth.lipsync.make",
        "LipsyncRequest": "synth.lipsync.make",
        "make_lipsync": "synth.lipsync.make",
        "LipsyncOptions": "synth.lipsync.pipeline",
        "MouthModel": "synth.lipsync.mouth.model",
        "MouthOptions": "synth.lipsync.mouth.model",
        "retime": "synth.lipsync.film.retime",
        "train_mouth": "synth.lipsync.mouth.train",
    },
)
