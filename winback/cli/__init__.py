"""The ``winback`` command: arguments in, one :class:`~winback.cli.console.Answer` out.

JSON goes to standard output, everything else to standard error. Everything heavy is imported inside the command that
needs it, so that ``winback --help`` stays quick.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit with its code."""
    from winback.cli.app import run_command

    sys.exit(run_command(sys.argv[1:]))


__all__ = ["main"]
