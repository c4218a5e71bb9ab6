"""Whether what is installed works without the repository: ``python -I tests/smoke_installed.py REPOSITORY``.

`make smoke` runs it with an environment's own Python, where nothing but vitas-hw is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import vitas_hw as vh
from vitas_hw.cli.main import main

PREDICTOR = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"


def smoke(repository: Path) -> str:
    """What was found, in a line. Raises AssertionError if something is amiss."""
    home = Path(vh.__file__).resolve().parent
    assert repository.resolve() not in home.parents or "site-packages" in home.parts, f"{home} is the repository's own"
    for name in vh.__all__:
        assert getattr(vh, name) is not None, name
    space = vh.load_space("vitas-digits")
    subnet = space.sample(seed=0)
    (latency,) = vh.load_predictor(PREDICTOR).predict([subnet]).latency_ms
    assert latency > 0
    model = vh.build_model(subnet)
    assert sum(parameter.numel() for parameter in model.parameters()) == subnet.params
    for command in (["--version"], ["spaces"], ["runs", "."], ["predict", "smallest", "--predictor", PREDICTOR]):
        assert main(command) == 0, command
    return f"{home}: {len(vh.__all__)} public names, {latency:.3g} ms predicted"


if __name__ == "__main__":
    sys.stdout.write(smoke(Path(sys.argv[1])) + "\n")
