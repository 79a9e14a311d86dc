"""One rank of a run: what `launch.py` starts, as `python -m tunesmith.training.distributed.rank CONFIG.yaml`."""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import TunesmithError
from ..run import train
from . import launch


def main(file: str) -> int:
    """Train, report how it ended, and return the exit code."""
    launch.end_with_launcher()
    try:
        result = train(Path(file))
    except TunesmithError as error:
        launch.report_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    how = {"state": result.state, "step": result.step, "loss": result.loss, "signal": result.signal}
    launch.report({**how, "result": str(result.result) if result.result else None})
    return 0 if result.state == "finished" else 128 + (result.signal or 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
