"""`python -m sentinel_client COMMAND`: `doctor` says what is wrong, `decrypt` shows encrypted fields."""

from __future__ import annotations

import sys


def main() -> int:
    """Run a command. Returns its exit code."""
    command, rest = sys.argv[1:2], sys.argv[2:]
    if command == ["doctor"]:
        from ._doctor import main as doctor

        return doctor(rest)
    if command == ["decrypt"]:
        from ._decrypt import main as decrypt

        return decrypt(rest)
    print("usage: python -m sentinel_client doctor|decrypt [--help]", file=sys.stderr)  # noqa: T201
    return 0 if command in (["--help"], ["-h"]) else 2


if __name__ == "__main__":
    sys.exit(main())
