from torch import nn

from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.supernet import Supernet


def fill_from_pretrained(supernet: Supernet, source: str) -> Subnet:
    raise NotImplementedError


def timm_model(source: str) -> nn.Module:
    raise NotImplementedError
