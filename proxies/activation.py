"""Proxies that read activations alone: ReLU patterns, feature maps, their spectra. Forward passes, no labels."""

from __future__ import annotations

import torch
from torch import Tensor

from proxies.formulas import spectra
from proxies.probing.network import Tap, by_member, positions
from proxies.probing.probe import Probe
from proxies.registry import proxy


@proxy(source="Mellor et al. (NASWOT), ICML 2021", whole=True)
def naswot(probe: Probe) -> Tensor:
    """Log-determinant of the kernel of ReLU patterns, higher better.

    K = sum over ReLUs of [c c' + (1 - c)(1 - c)'], c the active units of each image: how often two images agree. -inf
    where K is singular. Every ReLU that anything but zero arrives at counts, whether or not it leads to the output.
    The authors' code counts those on a path to the output alone, and the ReLU of an edge twice: its hook takes every
    class with ReLU in its name. FreeREA and ZenNAS also count those that only zeros reach, where all images agree.
    In a module GELU, SiLU and the like count by the sign of what they get, gates (sigmoid, tanh, softmax) do not.
    """
    sign, logarithm = torch.linalg.slogdet(probe.agreement.kernel)
    return torch.where(sign > 0, logarithm, -torch.inf)


@proxy(source="Chen et al. (TE-NAS), ICLR 2021; Xiong et al., ICML 2020", whole=True)
def regions(probe: Probe) -> Tensor:
    """Number of linear regions that the batch falls into: of different patterns over all ReLUs, 1 to N, higher better.

    Departure: the network and the batch of the run; the authors take a thinned network and 3,000 small crops.
    """
    kernel, units = probe.agreement
    equal = kernel == units[:, None, None]
    return (1 / equal.sum(-1).double()).sum(-1).round()  # each pattern adds up to 1, but for rounding


@proxy(source="Peng et al. (SWAP), ICLR 2024", whole=True)
def swap(probe: Probe) -> Tensor:
    """Sample-wise activation patterns: how many different patterns over 16 images the ReLU units have, higher better.

    Departures: one draw a seed of the run's init, where the authors average 32 of N(0, 1); not regularised by size.
    """
    images = len(probe.images[:16])
    seen = torch.zeros(probe.network.candidates, 2**images, dtype=torch.bool, device=probe.images.device)
    powers = 2 ** torch.arange(images, device=probe.images.device)
    for tap in probe.few_relus:
        codes = ((tap.stacked().flatten(2) > 0) * powers[:, None]).sum(1)
        for row, member in zip(codes, tap.members, strict=True):
            seen[member, row] = True
    return seen.sum(1).double()


@proxy(source="Lin et al. (Zen-NAS), ICCV 2021 (article)", whole=True)
def zen(probe: Probe) -> Tensor:
    """Zen-score, how much features move with the input, normalisation undone, higher better.

    log mean_n ||f(x) - f(x + .01 e)|| + sum over normalisations of log sqrt(batch variance). x and e are noise; f the
    features before pooling, with weights of unit deviation in each layer (the authors draw N(0, 1)); the Euclidean
    norm and the true batch variance, mean over channels, as in the article. Residual links and skips stay, where the
    authors' networks lose theirs. -inf where a normalisation gets a constant. Undefined without batch normalisation: a
    LayerNorm has no statistics over the batch, and undoes a change of scale in each image by itself.
    """
    seen = probe.perturbed
    change: Tensor = torch.linalg.vector_norm(seen.change.double(), dim=2).mean(1)
    return change.log() + probe.total_over([(one.members, one.variance.log() / 2) for one in seen.before])


@proxy(source="idstcv/ZenNAS (released code)", whole=True)
def zen_released(probe: Probe) -> Tensor:
    """Zen-score as released: L1 norm, and running variances after two updates, higher better.

    The running variance of a fresh layer after x and x + .01 e, with momentum .1, is .81 + .09 v_1 + .1 v_2: the term
    hardly sees small variances and costs each normalisation about .83 nats. Unbiased variances, as PyTorch has them.
    A normalisation that only zeros reach is left out; the released code would count it, log sqrt(.81) = -.105 each.
    """
    seen = probe.perturbed
    change = seen.change.double().abs().sum(2).mean(1).log()
    parts = []
    for first, second in zip(seen.before, seen.after, strict=True):
        unbiased = first.number / (first.number - 1)
        running = 0.81 + unbiased * (0.09 * first.variance + 0.1 * second.variance)
        parts.append((first.members, running.log() / 2))
    return change + probe.total_over(parts)


@proxy(source="Jiang et al. (MeCo), NeurIPS 2023", whole=True)
def meco(probe: Probe) -> Tensor:
    """Smallest eigenvalue of the correlation of a map's channels, summed over all maps of one image, higher better.

    Maps are the outputs of convolutions, normalisations, ReLUs, pools and skips. A channel without variance correlates
    with nothing. Where a map has fewer positions than channels the eigenvalue is 0 but for rounding: at 32 x 32 the
    last stage of NAS-Bench-201 adds nothing. Departures: the first image of the batch, alone; the authors' measure
    feeds one image of 64 x 64 noise, where the last stage adds, and its copy in zero-cost-nas form takes the first
    image's maps of a pass over the whole batch. Their hooks see containers too, so a cell's output counts again as its
    last operation's; the head, which they see as well, adds 0.
    """
    return probe.total_over(
        [(tap.members, _times(tap, _smallest(tap.stacked()[:, 0].flatten(2)))) for tap in probe.maps]
    )


@proxy(source="Jiang et al. (MeCo), NeurIPS 2023, the optimised form", whole=True)
def meco_opt(probe: Probe) -> Tensor:
    """MeCo over eight channels of each map, drawn at random, times C/8, higher better.

    Avoids the rank trap of meco. Maps of equal width share a draw, so that no score depends on the order of maps.
    """
    parts = []
    for tap in probe.maps:
        values = tap.stacked()[:, 0].flatten(2)
        channels = values.shape[1]
        drawn = probe.noise("meco channels", (channels,)).argsort()[:8]
        parts.append((tap.members, _times(tap, _smallest(values[:, drawn])) * channels / len(drawn)))
    return probe.total_over(parts)


def _smallest(channels: Tensor) -> Tensor:
    """Smallest eigenvalue of the correlation of C channels over D positions, [a, C, D] -> [a]."""
    return spectra.eigenvalues(spectra.correlation(channels.double()).nan_to_num(0.0))[:, 0]


def _times(tap: Tap, values: Tensor) -> Tensor:
    """Values [a] counted as often as equal operations share the tap."""
    return values if tap.times is None else values * values.new_tensor(tap.times)


@proxy(source="Lee & Ham (AZ-NAS), CVPR 2024")
def expressivity(probe: Probe) -> Tensor:
    """AZ-NAS: sum over stem and blocks of the entropy of their channels' covariance spectrum, higher better.

    Departures: for all parts of AZ-NAS, the run's batch and init, where the authors take noise and Kaiming's. For this
    and progressivity, float64 and eigenvalues clipped at 0: in the released code's float32 an eigenvalue that rounds
    below -1e-8 makes a NaN and the cell -inf, and so does a disconnected cell; here both are finite.
    """
    return probe.total_over(probe.block_entropies)


@proxy(source="Lee & Ham (AZ-NAS), CVPR 2024")
def progressivity(probe: Probe) -> Tensor:
    """AZ-NAS: the smallest step in expressivity from one block to the next, higher better.

    Finite where the released code is not, as expressivity.
    """
    device = probe.images.device
    last = torch.full((probe.network.candidates,), torch.nan, dtype=torch.float64, device=device)
    least = torch.full_like(last, torch.inf)
    for members, values in probe.block_entropies:
        index = torch.tensor(members, device=device)
        step = values - last[index]
        least[index] = torch.where(step.isnan() & last[index].isnan(), least[index], torch.minimum(least[index], step))
        last[index] = values
    return least


@proxy(source="Lee & Ham (AZ-NAS), CVPR 2024")
def trainability(probe: Probe) -> Tensor:
    """AZ-NAS: how near the blocks come to keeping a gradient's size on its way back, higher better.

    Mean over blocks of 2 - s - 1/(s + 1e-6), at most 0. s is the largest singular value of M = g_in' g_out / (N h w),
    with g_out random +-1 at a block's output and g_in what it becomes at its input; where the block halves the
    resolution, positions go to channels. -inf for a cell that is the identity, as the authors have it.
    """
    device = probe.images.device
    total = torch.zeros(probe.network.candidates, dtype=torch.float64, device=device)
    blocks = torch.zeros_like(total)
    for tap, signs, back in probe.transport:
        value = _kept(signs, back, len(tap.members))
        index = torch.tensor(tap.members, device=device)
        kept = torch.where(_equal(signs, back, len(tap.members)), -torch.inf, 2 - value - 1 / (value + 1e-6))
        total.index_add_(0, index, kept)
        blocks.index_add_(0, index, torch.ones_like(value))
    return total / blocks


def _equal(signs: Tensor, back: Tensor, members: int) -> Tensor:
    """Whose block gives a gradient back as it came, [a]; all images are looked at only where the first one's is."""
    if back.shape != signs.shape:
        return torch.zeros(members, dtype=torch.bool, device=back.device)
    for images in (slice(1), slice(None)):
        same: Tensor = (back[images] == signs[images]).unflatten(1, (members, -1)).transpose(0, 1).flatten(1).all(1)
        if not same.any():
            break
    return same


def _kept(signs: Tensor, back: Tensor, members: int) -> Tensor:
    """The largest singular value of the block's average Jacobian product, [a]."""
    factor = back.shape[-2] // signs.shape[-2]
    if factor > 1:
        back = torch.nn.functional.pixel_unshuffle(back, factor)
    left, right = (positions(by_member(x, members)).double() for x in (back, signs))
    product = left.mT @ right / right.shape[-2]
    return spectra.eigenvalues(product.mT @ product)[:, -1].clamp_min(0).sqrt()


@proxy(source="Tybl & Neumann (VKDNW), CVPR 2025", whole=True)
def vkdnw(probe: Probe) -> Tensor:
    """Number of layers plus the entropy of the Fisher information's spectrum, higher better.

    F = mean_n J' S J: J the logits' gradients by one weight of each layer, S = diag(p) - p p', p the softmax smoothed
    by .05; normalisations at their initial running statistics, that is, left out. The entropy is that of the 10 to 90
    % quantiles of its singular values, normalised to sum 1. It is at most ln 9, so the sum ranks as conv_edges with a
    tie-break: on NAS-Bench-201 one more edge is 15 layers. Departures: the middle weight of each layer's first kernel,
    layers being convolutions and head only. The released code takes the first weight of each of the first 128 parameter
    tensors, normalisations and biases among them, of which it counts up to 291; and J' L' L J, L the Cholesky factor of
    S, which is not J' S J.
    """
    p = probe.network(probe.images, probe.weights, batch_norm=False).logits.double().softmax(-1)
    p = 0.95 * p + 0.05 / p.shape[-1]
    root = p.sqrt()
    scores = []
    for candidate in range(probe.network.candidates):
        layers = sum(candidate in layer.members for layer in probe.weights.kernels)
        columns = [
            part.values[part.members.index(candidate)].double()
            for part in probe.sensitivities
            if candidate in part.members
        ]
        jacobian = torch.stack(columns, -1)  # [N, K, layers]
        mean = (p[candidate, :, :, None] * jacobian).sum(1, keepdim=True)
        half = (root[candidate, :, :, None] * (jacobian - mean)).flatten(0, 1)
        spectrum = torch.zeros(layers, dtype=torch.float64, device=p.device)
        spectrum[: half.shape[1]] = spectra.eigenvalues(half.mT @ half / len(p[candidate])).clamp_min(0)
        deciles = torch.quantile(spectrum, torch.arange(1, 10, dtype=torch.float64, device=p.device) / 10)
        share = deciles / deciles.sum() if deciles.sum() > 0 else deciles
        scores.append(layers + torch.special.entr(share).sum())
    return torch.stack(scores)


@proxy(source="Husistein et al. (NEAR), arXiv 2408.08776, after a third-party description", whole=True)
def near(probe: Probe) -> Tensor:
    """Sum over ReLUs of the effective ranks of what they get and what they give, higher better.

    The effective rank is exp of the entropy of the normalised singular values of the [C, N*H*W] map. The authors' code
    (ReiherGroup/NEAR) sums over the outputs of every module with a weight and of the ReLUs, and takes of each as many
    positions in a row as it has channels, a C x C matrix, from a random place; this is another form.
    """
    parts = []
    for tap in probe.relus:
        value = tap.stacked().transpose(1, 2).flatten(2)
        ranks = spectra.effective_rank(value) + spectra.effective_rank(value.relu())
        parts.append((tap.members, _times(tap, ranks)))
    return probe.total_over(parts)
