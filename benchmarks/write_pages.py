"""Writes every page that shows numbers from their results, so that no number is typed by hand.

    python benchmarks/write_pages.py            # docs/benchmarks.md, and the tables of the README and of two folders
    python benchmarks/write_pages.py --check    # ends with status 1 where one is not up to date

What each part says and which files it needs stands in ``result_pages/``. A result that is not there yet appears by
itself once its file is; until then the page lists it with its command.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))

from result_pages.pages import written  # noqa: E402  # of this folder, wherever this is run from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    stale = {path: text for path, text in written(ROOT).items() if path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)}: {'not up to date' if given.check else 'written'}")
        if not given.check:
            path.write_text(text, encoding="utf-8")
    if given.check and stale:
        raise SystemExit("Run: python benchmarks/write_pages.py")


if __name__ == "__main__":
    main()
