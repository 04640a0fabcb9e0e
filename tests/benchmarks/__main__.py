"""Every measurement, one after the other: `python -m tests.benchmarks [--smoke]`.

Prints times and ratios side by side; nothing is judged here, and what is not installed is said to be
missing. `--smoke` runs each once, to see that they still run.
"""

# ruff: noqa: T201
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent


def main() -> int:
    status = 0
    for script in sorted(_HERE.glob("*.py")):
        if script.name.startswith("_"):
            continue
        print(f"== {script.stem}", flush=True)
        status |= subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=False).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
