import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import peak_memory


def test_peaks_of_calls_whose_peaks_are_known():
    found = peak_memory.check()
    assert found["two tensors at once"].raw == 8 * 2**20


def test_gradients_there_before_are_refused():
    weight = torch.ones(3, requires_grad=True)
    weight.sum().backward()
    with pytest.raises(AssertionError):
        peak_memory.peak(lambda: None, [weight])
