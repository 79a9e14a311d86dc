"""The training run. START HERE: `run.py`, one function, top to bottom."""
