"""The study of what each way of training a supernet gives: that its ways are what they say."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import factors

import vitas_hw as vh
from vitas_hw.training.recipe import DIGITS

SPACE = replace(
    vh.load_space("vitas-digits"), name="tiny", depth=(1, 3), embed_dims=(32, 48), attn_dims=(32,), mlp_dims=(32, 64)
)
IMAGES = torch.from_numpy(np.random.default_rng(0).random((6, SPACE.in_chans, *SPACE.image_size), np.float32))
CEILING = "0.3M"
LABELS = torch.tensor([0, 1, 2, 3, 4, 5])


def made(name):
    supernet = vh.build_supernet(SPACE, seed=0)
    make = factors.FACTORS[name].objective
    return supernet, make(supernet, DIGITS, CEILING)


def gradient(supernet, loss):
    supernet.zero_grad()
    loss.backward()
    return torch.cat([torch.zeros(w.numel()) if w.grad is None else w.grad.flatten() for w in supernet.parameters()])


@pytest.mark.parametrize("name", [name for name, factor in factors.FACTORS.items() if factor.objective])
def test_a_step_runs_as_many_subnets_as_are_paid_for(name):
    supernet, objective = made(name)
    codes = objective.codes(0, 3)
    assert len(codes) == factors.FACTORS[name].subnets
    assert codes == objective.codes(0, 3)
    assert gradient(supernet, objective(IMAGES, LABELS, codes)).norm() > 0


def test_the_largest_of_a_bounded_sandwich_is_inside():
    _, objective = made("sandwich inside the ceiling")
    firsts = [SPACE.decode(np.array(objective.codes(0, step)[0])).macs for step in range(5)]
    assert max(firsts) <= 3e5 < SPACE.largest.macs


def test_projected_gradients_never_work_against_the_smaller_ones():
    supernet, plain = made("sandwich inside the ceiling")
    _, projected = made("the same, gradients projected")
    projected.trained = supernet
    codes, conflicts = plain.codes(0, 0), []
    first = SPACE.decode(np.array(codes[0]))
    for sign in (1, -1):  # where they agree with the largest, and with that turned around, where they do not

        def rule(logits, _, sign=sign):
            return sign * F.cross_entropy(logits, LABELS)

        projected.rule = rule
        others = [rule(supernet(IMAGES, SPACE.decode(np.array(code))), None) for code in codes[1:]]
        wanted = gradient(supernet, torch.stack(others).sum())
        own = gradient(supernet, F.cross_entropy(supernet(IMAGES, first), LABELS, label_smoothing=0.1))
        against = float(own @ wanted)
        kept = own if against >= 0 else own - against / float(wanted @ wanted) * wanted
        torch.testing.assert_close(gradient(supernet, projected(IMAGES, LABELS, codes)), (kept + wanted) / 3)
        if against < 0:
            assert abs(float(kept @ wanted)) < 1e-3 * abs(against)
        conflicts.append(against < 0)
    assert sorted(conflicts) == [False, True]


def test_the_adaptive_divergence_descends_towards_the_teacher():
    logits = torch.zeros(1, 3, requires_grad=True)
    teacher = torch.tensor([[2.0, 0.0, -1.0]])
    before = (logits.softmax(-1) - teacher.softmax(-1)).abs().sum()
    (slope,) = torch.autograd.grad(factors.adaptive(logits, teacher), logits)
    after = ((logits - 0.1 * slope).softmax(-1) - teacher.softmax(-1)).abs().sum()
    assert after < before
