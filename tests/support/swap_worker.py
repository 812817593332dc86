"""One of several processes that train together; torchrun starts them. ``swap_worker.py FOLDER [STOP [killed]]``: train
on drawn faces into FOLDER, or go on there; each process writes what it ended with. ``killed``: nobody is asked to stop,
the second process is gone after so many steps.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from synth.swap.training import train as training
from synth.swap.training.checkpoint import CHECKPOINT_FILE
from synth.swap.training.parallel import join, rank, world_size
from synth.swap.training.train import train
from tests.support.swap_faces import drawn_bank, minute_preset, origin, stop_after


def main() -> None:
    folder, stop = Path(sys.argv[1]), [int(one) for one in sys.argv[2:3]]
    asked = stop_after(stop[0]) if stop else lambda: False
    killed = sys.argv[3:] == ["killed"]
    if killed:
        training.FIRST_SAVE = training.SAVE_EVERY = 0.0

    def stopped() -> bool:
        # only one of them is asked to stop; all must
        said = rank() == 1 and asked()
        if said and killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return said

    torch.set_num_threads(1)
    device = join("cpu")
    done = train(
        {"a": drawn_bank(1), "b": drawn_bank(2)},
        origin(minute_preset(16)),
        folder,
        device=device,
        resume=(folder / CHECKPOINT_FILE).exists(),
        stop=stopped,
    )
    about = {"finished": done.finished, "steps": done.steps, "processes": world_size()}
    (folder / f"rank{rank()}.json").write_text(json.dumps(about))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
