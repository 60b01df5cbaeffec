"""GlowNet: a residual U-Net that works at half resolution and answers at full resolution.

The stem folds 2 x 2 x 2 voxels into channels (a strided convolution whose kernel spans 6
voxels), so that no wide feature map ever exists at full resolution. The same folded voxels
skip straight to the head, which unfolds its answer again: the light full-resolution skip.
Residual blocks after He et al. 2016; the U after Ronneberger et al. 2015; the folding is
sub-pixel convolution, Shi et al. 2016.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neuroglow.network.cropping import decoded
from neuroglow.space.geometry import Box

__all__ = ["GlowNet", "fold", "unfold"]


def fold(x: Tensor) -> Tensor:
    """Fold 2 x 2 x 2 voxels into channels: (N, C, Z, Y, X) -> (N, 8 C, Z/2, Y/2, X/2)."""
    n, c, z, y, x_ = x.shape
    x = x.reshape(n, c, z // 2, 2, y // 2, 2, x_ // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, 8 * c, z // 2, y // 2, x_ // 2)


def unfold(x: Tensor) -> Tensor:
    """Undo fold: (N, 8 C, Z, Y, X) -> (N, C, 2 Z, 2 Y, 2 X)."""
    n, c, z, y, x_ = x.shape
    x = x.reshape(n, c // 8, 2, 2, 2, z, y, x_)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // 8, 2 * z, 2 * y, 2 * x_)


def _cut(x: Tensor, known: Box, to: Box, stride: int) -> Tensor:
    """Keep a box (voxels) of features that are known in another.

    Nothing is cut off where both are the same: a script that is traced then takes any shape.
    """
    if to == known:
        return x
    z, y, w = (slice(a.start // stride, a.stop // stride) for a in to.relative_to(known).slices)
    return x[..., z, y, w]


class ConvNorm(nn.Sequential):
    """A convolution and its batch normalisation; one convolution after `fuse`."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm3d(channels_out),
        )

    def fuse(self) -> None:
        """Fold the normalisation into the convolution (evaluation only)."""
        convolution, norm = self[0], self[1]
        assert isinstance(convolution, nn.Conv3d)
        assert isinstance(norm, nn.BatchNorm3d)
        self[0], self[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()


class Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape and channels."""
        y = self.second(functional.relu(self.first(x), inplace=True))
        return functional.relu(y.add_(x) if not self.training else y + x, inplace=True)


class GlowNet(nn.Module):
    """Map noise units (N, 1, Z, Y, X) to the neurite's logit (N, 1, Z, Y, X).

    widths: channels of each level, at strides 2, 4, 8, ...
    blocks: residual blocks of each level on the way down.

    The spatial size is a multiple of `stride`; ValueError otherwise.
    """

    def __init__(
        self, *, widths: Sequence[int] = (24, 48, 96), blocks: Sequence[int] = (1, 1, 1)
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks) or not widths:
            raise ValueError(f"as many widths as blocks, at least one: {widths}, {blocks}")
        self.stride = 2 ** len(widths)
        self.stem = ConvNorm(8, widths[0])
        self.down = nn.ModuleList(ConvNorm(a, b, stride=2) for a, b in itertools.pairwise(widths))
        self.encode = nn.ModuleList(
            nn.Sequential(*(Residual(w) for _ in range(n)))
            for w, n in zip(widths, blocks, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(b, a, 2, 2) for a, b in itertools.pairwise(widths)
        )
        self.decode = nn.ModuleList(ConvNorm(w, w) for w in widths[:-1])
        self.head = nn.Conv3d(widths[0] + 8, 8, 3, padding=1)

    def forward(self, x: Tensor, inner: Box | None = None) -> Tensor:
        """Return one logit per voxel: of all, or of a box of them."""
        if any(n % self.stride for n in x.shape[2:]):
            raise ValueError(f"a size in multiples of {self.stride}, not {tuple(x.shape[2:])}")
        folded = fold(x)
        if folded.dtype == torch.bfloat16 or self.training:
            folded = folded.contiguous(memory_format=torch.channels_last_3d)
        features = functional.relu(self.stem(folded), inplace=True)
        skips: list[Tensor] = []
        for level, encode in enumerate(self.encode):
            if level:
                features = functional.relu(self.down[level - 1](features), inplace=True)
            features = encode(features)
            skips.append(features)
        whole = known = Box.of(x.shape[2:])
        inner = inner or whole
        boxes = decoded(inner, whole, len(skips) - 1)
        features = skips.pop()
        while skips:
            level = len(skips) - 1
            to, stride = boxes[level], 2 ** (level + 1)
            features = self.up[level](_cut(features, known, to, 2 * stride))
            features = features + _cut(skips.pop(), whole, to, stride)
            features = functional.relu(self.decode[level](features), inplace=True)
            known = to
        near = torch.cat([features, _cut(folded, whole, known, 2)], 1)
        return _cut(unfold(self.head(near)), known, inner, 1)

    def fuse(self) -> GlowNet:
        """Fold every normalisation into its convolution, for evaluation; return self."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self
