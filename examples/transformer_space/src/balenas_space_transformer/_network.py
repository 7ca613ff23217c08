"""Vision transformers of timm's blocks: one architecture, or all in one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from balenas_core import Supernet, Task, Weights
from balenas_core.errors import UsageError
from timm.layers import Attention, PatchEmbed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from balenas_space_transformer import Options
from balenas_space_transformer._architecture import Transformer


class TransformerNetwork(nn.Module):
    """Patches, blocks, the mean of all tokens, and a classifier."""

    def __init__(self, options: Options, architecture: Transformer, task: Task) -> None:
        super().__init__()
        width = architecture.width
        self.embed, self.position = _embedding(options, width, task)
        self.blocks = nn.ModuleList(
            _block(options, width, heads, ratio)
            for heads, ratio in architecture.blocks[: architecture.depth]
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, task.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.embed(x) + self.position
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(1))
        return logits


class TransformerSupernet(Supernet):
    """The largest transformer; smaller ones are the first channels, heads and blocks of it.

    Weights of a choice become masks: of a table of widths, channel ``c`` is seen with the sum of
    the weights of all widths above ``c``. At one-hot weights that is a slice, and in between it
    is differentiable.

    References:
        Chen et al. 2021, "AutoFormer", ICCV (weight entanglement). Deviation: there one
        architecture is sampled in every step; here masks mix them.
    """

    def __init__(self, options: Options, task: Task) -> None:
        super().__init__()
        self.options = options
        width, ratio = options.widths[-1], options.mlp_ratios[-1]
        self.embed, self.position = _embedding(options, width, task)
        self.blocks = nn.ModuleList(
            _block(options, width, options.heads[-1], ratio) for _ in range(options.depths[-1])
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, task.num_classes)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """Return logits."""
        options = self.options
        widths = weights["width"][0]
        width = _mask(widths, options.widths)
        there = _mask(weights["depth"][0], options.depths)
        x = (self.embed(x) + self.position) * width
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            heads = _mask(weights["heads"][number], options.heads)
            ratios = weights["mlp_ratio"][number]
            hidden = _mask(
                torch.outer(widths, ratios).flatten(),
                [w * r for w in options.widths for r in options.mlp_ratios],
            )
            seen = there[number] * width
            x = x + seen * _attended(block.attn, _normed(block.norm1, x, width), heads)
            x = x + seen * _transformed(block.mlp, _normed(block.norm2, x, width), hidden)
        logits: Tensor = self.head(_normed(self.norm, x, width).mean(1))
        return logits

    def inherit(self, architecture: Transformer) -> TransformerNetwork:
        """Return a network with copies of the slices of an architecture."""
        task = Task((self.embed.proj.in_channels, *self.embed.img_size), self.head.out_features)
        network = TransformerNetwork(self.options, architecture, task).to(self.position)
        with torch.no_grad():
            _copy_slices(self.embed, network.embed)
            network.position.copy_(_first(self.position, network.position))
            for whole, part in zip(self.blocks, network.blocks, strict=False):
                _copy_slices(whole, part)
            _copy_slices(self.norm, network.norm)
            _copy_slices(self.head, network.head)
        return network.train(self.training)


def _embedding(options: Options, width: int, task: Task) -> tuple[PatchEmbed, nn.Parameter]:
    channels, *size = task.input_shape
    if any(pixels % options.patch for pixels in size):
        raise UsageError(
            f"images of {size[0]}x{size[1]} pixels cannot be cut into patches of {options.patch}; "
            f"set space.patch to a number that divides both."
        )
    embed = PatchEmbed((size[0], size[1]), options.patch, channels, width)
    position = nn.Parameter(torch.empty(1, embed.num_patches, width))
    nn.init.trunc_normal_(position, std=0.02)
    return embed, position


def _block(options: Options, width: int, heads: int, ratio: int) -> Block:
    block = Block(width, 1, mlp_ratio=ratio, qkv_bias=True)
    # timm's block divides the width by the heads; here a head has one width everywhere.
    block.attn = Attention(width, heads, attn_head_dim=options.head_width, qkv_bias=True)
    return block


def _mask(weights: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return, for each of the largest size, the sum of the weights of sizes that reach it."""
    places = torch.arange(max(sizes), device=weights.device)
    reached = places < torch.tensor(sizes, device=weights.device)[:, None]
    return weights @ reached.to(weights)


def _normed(norm: nn.LayerNorm, x: Tensor, mask: Tensor) -> Tensor:
    """Normalise the channels that are seen, as a layer of so many channels does."""
    total = mask.sum().clamp_min(torch.finfo(x.dtype).eps)  # zero where no width has a weight
    mean = (mask * x).sum(-1, keepdim=True) / total
    variance = (mask * (x - mean).square()).sum(-1, keepdim=True) / total
    scaled = (x - mean) * (variance + norm.eps).rsqrt() * norm.weight + norm.bias
    return scaled * mask


def _attended(attention: Attention, x: Tensor, heads: Tensor) -> Tensor:
    batch, tokens, _ = x.shape
    qkv = attention.qkv(x).reshape(batch, tokens, 3, attention.num_heads, attention.head_dim)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    found = F.scaled_dot_product_attention(query, key, value) * heads[:, None, None]
    joined: Tensor = attention.proj(found.transpose(1, 2).flatten(2))
    return joined


def _transformed(mlp: nn.Module, x: Tensor, hidden: Tensor) -> Tensor:
    made: Tensor = mlp.fc2(mlp.act(mlp.fc1(x)) * hidden)
    return made


def _copy_slices(whole: nn.Module, part: nn.Module) -> None:
    """Copy the first rows and columns of every parameter."""
    sources = dict(whole.named_parameters())
    for name, target in part.named_parameters():
        if ".qkv." in f".{name}":  # queries, keys and values of the first heads
            split = (3, -1, *target.shape[1:])
            source = sources[name].reshape(3, -1, *sources[name].shape[1:])
            target.copy_(_first(source, target.reshape(split)).reshape(target.shape))
        else:
            target.copy_(_first(sources[name], target))


def _first(whole: Tensor, like: Tensor) -> Tensor:
    return whole[tuple(slice(size) for size in like.shape)]
