"""VoxResNet as DB-Enhance trained it: the same tensors, names and numbers.

Chen et al. 2018 (VoxResNet); DB-Enhance 2021. Four side outputs, at strides 1, 2, 4 and 8, are
brought back to full resolution and summed. Attribute names are the checkpoints' own.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["VoxResNet"]


class NormAct(nn.Module):
    """Batch normalisation and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.BatchNorm3d(channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape and channels."""
        y: Tensor = self.conv(x)
        return y


class Residual(nn.Module):
    """x + two times (normalisation, ReLU, convolution) of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(nn.BatchNorm3d(channels), nn.ReLU(), nn.Conv3d(channels, channels, 3, padding=1)),
            *(nn.BatchNorm3d(channels), nn.ReLU(), nn.Conv3d(channels, channels, 3, padding=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape and channels."""
        y: Tensor = x + self.conv(x)
        return y


class VoxResNet(nn.Module):
    """Map normalised voxels (N, 1, Z, Y, X) to the logits of two classes (N, 2, Z, Y, X).

    Class 1 is the neurite. The spatial size is a multiple of `stride`; ValueError otherwise.
    """

    stride = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(1, 32, 5, padding=2)
        self.bn_act1 = NormAct(32)
        self.conv2 = nn.Conv3d(32, 32, 3, padding=1)
        self.deconv1 = nn.Conv3d(32, 2, 3, padding=1)
        self.clc1 = nn.Conv3d(2, 2, 1)
        self.bn_act2 = NormAct(32)
        self.conv3 = nn.Conv3d(32, 64, 3, stride=2, padding=1)
        self.res2, self.res3 = Residual(64), Residual(64)
        self.deconv2 = nn.ConvTranspose3d(64, 2, 2, 2)
        self.clc2 = nn.Conv3d(2, 2, 1)
        self.bn_act3 = NormAct(64)
        self.conv4 = nn.Conv3d(64, 64, 3, stride=2, padding=1)
        self.res5, self.res6 = Residual(64), Residual(64)
        self.deconv3 = nn.ConvTranspose3d(64, 2, 4, 4)
        self.clc3 = nn.Conv3d(2, 2, 1)
        self.bn_act4 = NormAct(64)
        self.conv5 = nn.Conv3d(64, 64, 3, stride=2, padding=1)
        self.res8, self.res9 = Residual(64), Residual(64)
        self.deconv4 = nn.ConvTranspose3d(64, 2, 8, 8)
        self.clc4 = nn.Conv3d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return two logits per voxel."""
        if any(n % self.stride for n in x.shape[2:]):
            raise ValueError(f"a size in multiples of {self.stride}, not {tuple(x.shape[2:])}")
        full = self.conv2(self.bn_act1(self.conv1(x)))
        half = self.res3(self.res2(self.conv3(self.bn_act2(full))))
        quarter = self.res6(self.res5(self.conv4(self.bn_act3(half))))
        eighth = self.res9(self.res8(self.conv5(self.bn_act4(quarter))))
        logits: Tensor = self.clc1(self.deconv1(full)) + self.clc2(self.deconv2(half))
        logits = logits + self.clc3(self.deconv3(quarter)) + self.clc4(self.deconv4(eighth))
        return logits
