"""Run several trainings one after the other, in each of the ranks that a launcher has started: python jobs.py FILE.

The imports and the first meeting of two ranks take most of the time of a small run; here they are paid once.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from tunesmith.training.run import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for config in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        train(config)
        gc.collect()
    dist.destroy_process_group()
