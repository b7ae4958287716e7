"""Entry point of the console script.

Nothing is imported before it can answer: Ctrl+C is one sentence and exit code 130 from the first moment.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    interrupted = False
    try:
        from tui.cli import output
    except KeyboardInterrupt:
        from tui.cli import output

        interrupted = True
    with output.report_errors(sys.argv[1:]):
        if interrupted:
            raise KeyboardInterrupt
        from tui.cli.main import nightschool

        nightschool(standalone_mode=False)
