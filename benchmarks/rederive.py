"""What the shipped profiles say of their own raw samples, derived anew: quiet latencies, their errors, the noise.

    python benchmarks/rederive.py            # writes what has changed, and its hash into predictor and card
    python benchmarks/rederive.py --check    # writes nothing; ends with 1 if anything would change

Raw samples, drift and p50s stay as they are, and so do predictors of p50s.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import vitas_hw as vh
from vitas_hw.core import file_sha256
from vitas_hw.predictors.predictor import save_predictor
from vitas_hw.predictors.shipped import shipped
from vitas_hw.profiling import save_profile
from vitas_hw.profiling.profile import with_quiet
from vitas_hw.report.predictor_card import predictor_card


def rederived(path: Path, check: bool) -> bool:
    """Whether the profile changes by it."""
    before, old_hash = path.read_bytes(), file_sha256(path)
    with TemporaryDirectory() as folder:
        new = Path(folder) / path.name
        save_profile(with_quiet(vh.load_profile(path)), new)
        after = new.read_bytes()
    if after != before and not check:
        path.write_bytes(after)
        predictor_path = shipped("predictors") / f"{path.stem}.json"
        predictor = vh.load_predictor(predictor_path)
        if predictor.profile_sha256 == old_hash:
            predictor = replace(predictor, profile_sha256=file_sha256(path))
            save_predictor(predictor, predictor_path)
            report = json.loads((shipped("predictors") / "reports" / predictor_path.name).read_text())
            card = shipped("predictors") / "cards" / f"{path.stem}.md"
            card.write_text(predictor_card(predictor, report))
    return after != before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    changed = [path.stem for path in sorted(shipped("profiles").glob("*.jsonl")) if rederived(path, arguments.check)]
    print(f"{'would change' if arguments.check else 'changed'}: {', '.join(changed) or 'nothing'}")
    return 1 if changed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
