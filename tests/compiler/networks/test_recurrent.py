from __future__ import annotations

import torch
from torch import nn

from voxc.compiler.networks.recurrent import BidirectionalGru


def test_equals_pytorchs_own_under_its_names() -> None:
    torch.manual_seed(0)
    theirs = nn.GRU(6, 4, num_layers=2, batch_first=True, bidirectional=True)
    ours = BidirectionalGru(6, 4, 2)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 9, 6)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x)[0], atol=1e-6, rtol=0)
