"""How often intervals hold what they are about, and tests find what is not there: simulated, no network is run.

Candidates, scores and accuracies are normal, of a Spearman's rho that is asked for; draws differ by deviations of rho,
and have half of a score's noise in common. analysis/validate.py --statistics prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.stats.inference import Estimate, Measured, Sample, difference, interval, over_trainings
from analysis.stats.influence import Array, centred_ranks, contributions, untied_ranks

RHOS = (0.0, 0.5, 0.8, 0.95)
LEVELS = 8  # different scores, and different accuracies, where there are ties
FOLLOWS = 0.7  # correlation of accuracy with size
WORLDS = 10  # spaces whose candidates stay while their trainings are drawn anew
RETRAININGS = 200  # of each such sample: fewer than for a table
HELD = 1_000_000  # scores at once
COVERED, FOUND = (93, 97), (3, 6)  # percent: what a 95 % interval and a 5 % test are to stay within
NOTHING = np.empty(0)
NOTES = [
    "n alone: 95 % intervals of one draw over so many candidates; ties: scores and accuracies have 8 levels",
    "draws: so many seeds, whose rho differs by that deviation; n/a where such draws would pass 1",
    "all, half: so much of the space was scored, and is trained anew; reliability: the share of the variance of an "
    "accuracy that is not noise of training; columns are the rho without that noise",
    "given size: partial correlations, columns those of what size leaves; score and size: how far the score follows it",
    "test: how often the test at 5 % tells apart two proxies, or two runs of one, whose rho is the same",
    "* outside 93 to 97 %, of a test 3 to 6 %, by more than two standard errors of the simulation",
]

Random = np.random.Generator
Simulated = Callable[[float, int, Random], float]


@dataclass(frozen=True)
class Row:
    """A line of the table: what is simulated for each of RHOS, a share that covers or (of a test) is found."""

    text: str
    simulate: Simulated
    is_test: bool = False
    deviation: float = 0.0

    def filled(self, repeats: int, random: Random) -> list[float]:
        """Percent by rho; NaN where draws that differ by so much would pass 1."""
        possible = [self.deviation < 1.2 * (1 - rho) for rho in RHOS]
        return [
            100 * self.simulate(rho, repeats, random) if fits else np.nan
            for rho, fits in zip(RHOS, possible, strict=True)
        ]

    def outside(self, found: float, repeats: int) -> bool:
        """Whether a percentage is outside what is promised, by more than two standard errors of the simulation."""
        low, high = FOUND if self.is_test else COVERED
        slack = 200 * np.sqrt(0.05 * 0.95 / repeats)
        return bool(found < low - slack or found > high + slack)


def rows(*, quick: bool = False) -> list[Row]:
    """The lines of the table, or a few of them."""
    every, many, some = ((20, 64), (64,), (64,)) if quick else ((8, 20, 64, 200, 1000), (8, 64, 200), (20, 64, 200))
    drawn = [(3, 0.04), (3, 0.16)] if quick else [(3, 0.04), (3, 0.16), (10, 0.04), (10, 0.16)]
    found = [Row(f"n {n:,}", _sampled(n)) for n in every]
    found += [Row(f"n {n:,}, ties", _sampled(n, levels=LEVELS)) for n in every]
    found += [
        Row(f"n {n:,}, {seeds} draws, deviation {by}", _sampled(n, seeds, by), deviation=by)
        for seeds, by in drawn
        for n in many
    ]
    for n in some:
        found += [Row(f"all {n}, reliability {of}", _retrained(n, of)) for of in (0.5, 0.95)]
    found.append(Row("half of 128, reliability 0.5", _retrained(64, 0.5, space=128)))
    found.append(Row("all 64, reliability 0.5, 3 draws, deviation 0.08", _retrained(64, 0.5, 3, 0.08), deviation=0.08))
    for n in some:
        found += [Row(f"n {n}, given size, score and size {of}", _given_size(n, of)) for of in (0.5, 0.97)]
    tests = [Row(f"test, n {n:,}", _compared(n), True) for n in every]
    tests += [Row(f"test, n {n}, 3 draws, deviation 0.08", _compared(n, 3, 0.08), True, 0.08) for n in some]
    tests.append(Row("test, n 64, two runs of 3 draws, deviation 0.08", _compared(64, 3, 0.08, False), True, 0.08))
    tests += [Row(f"test, all 64, reliability {of}", _compared_retrained(64, of), True) for of in (0.5, 0.95)]
    return found + tests


def _sampled(n: int, seeds: int = 1, deviation: float = 0.0, levels: int = 0) -> Simulated:
    """Samples of n candidates: does the interval hold the rho of all candidates, on average over draws?"""

    def simulate(rho: float, repeats: int, random: Random) -> float:
        target = _tied_rho(rho, levels, random) if levels else _expected(rho, deviation)
        covered = 0
        for count in _batches(repeats, n * seeds):
            truth = random.standard_normal((count, n))
            scores = _scores(rho, truth, seeds, deviation, random)
            if levels:
                truth, scores = _tied(truth, levels), _tied(scores, levels)
            covered += sum(
                _holds(interval(one, Sample(own)), target)
                for one, own in zip(_measured(scores, truth), truth, strict=True)
            )
        return covered / repeats

    return simulate


def _given_size(n: int, follows: float) -> Simulated:
    """Samples of n candidates: does the interval hold the partial rho, rho that of what size leaves of both?"""

    def simulate(rho: float, repeats: int, random: Random) -> float:
        own = np.sqrt((1 - follows**2) * (1 - FOLLOWS**2))
        pearson = np.array([follows * FOLLOWS + own * _pearson(rho), follows, FOLLOWS])
        xy, xz, yz = 6 / np.pi * np.arcsin(pearson / 2)
        target = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
        covered = 0
        for count in _batches(repeats, 3 * n):
            size, left = random.standard_normal((2, count, n))
            scores = follows * size + np.sqrt(1 - follows**2) * _scores(rho, left, 1, 0.0, random)[:, 0]
            truth = FOLLOWS * size + np.sqrt(1 - FOLLOWS**2) * left
            found = contributions(scores, truth, [size])
            for value, influence in zip(found.value, found.influence, strict=True):
                one = interval(Measured(value[None], influence[None], NOTHING), Sample(size[0]), 1)
                covered += _holds(one, target)
        return covered / repeats

    return simulate


def _retrained(
    n: int, reliability: float, seeds: int = 1, deviation: float = 0.0, space: int | None = None
) -> Simulated:
    """n candidates of a space of so many (by default all), trained anew: does the interval hold the space's rho?"""
    space = space or n
    noise = np.sqrt(1 / reliability - 1)

    def simulate(rho: float, repeats: int, random: Random) -> float:
        covered = 0
        for _ in range(WORLDS):
            expected = random.standard_normal(space)
            common = random.standard_normal(space)
            draws = _scores(rho, expected, 200 * seeds if seeds > 1 else 1, deviation, random, common)[0]
            trained = untied_ranks(expected + noise * random.standard_normal((4000, space)))
            target = float(np.mean([_rho(row, trained) for row in centred_ranks(draws)]))
            chosen = np.stack([random.choice(space, n, replace=False) for _ in range(repeats // WORLDS)])
            own = np.stack([random.choice(len(draws), seeds, replace=False) for _ in chosen])
            truth = expected[chosen] + noise * random.standard_normal(chosen.shape)
            samples = [Sample(one, n / space, noise, random, RETRAININGS) for one in truth]
            found = _measured(draws[own[..., None], chosen[:, None]], truth, samples)
            covered += sum(_holds(interval(one, sample), target) for one, sample in zip(found, samples, strict=True))
        return covered / (repeats // WORLDS * WORLDS)

    return simulate


def _compared(n: int, seeds: int = 1, deviation: float = 0.0, paired: bool = True) -> Simulated:
    """Samples of n candidates, two proxies of equal rho (or two runs of one): is a difference found?"""

    def simulate(rho: float, repeats: int, random: Random) -> float:
        found = 0
        for count in _batches(repeats, 2 * n * seeds):
            truth, common = random.standard_normal((2, count, n))
            pair = [_scores(rho, truth, seeds, deviation, random, common) for _ in range(2)]
            for a, b, own in zip(*(_measured(scores, truth) for scores in pair), truth, strict=True):
                found += difference(a, b, Sample(own), paired=paired).p < 0.05
        return found / repeats

    return simulate


def _compared_retrained(n: int, reliability: float) -> Simulated:
    """A whole space of twins that two proxies score the other way round, trained anew: is a difference found?"""
    noise = np.sqrt(1 / reliability - 1)

    def simulate(rho: float, repeats: int, random: Random) -> float:
        found = 0
        for _ in range(WORLDS):
            expected = np.repeat(random.standard_normal(n // 2), 2)
            a = _scores(rho, expected, 1, 0.0, random)[0]
            b = a.reshape(1, -1, 2)[..., ::-1].reshape(1, -1)
            truth = expected + noise * random.standard_normal((repeats // WORLDS, n))
            samples = [Sample(one, 1.0, noise, random, RETRAININGS) for one in truth]
            both = [_measured(np.broadcast_to(scores, (len(truth), 1, n)), truth, samples) for scores in (a, b)]
            found += sum(
                difference(one, other, sample).p < 0.05 for one, other, sample in zip(*both, samples, strict=True)
            )
        return found / (repeats // WORLDS * WORLDS)

    return simulate


def _scores(
    rho: float, truth: Array, seeds: int, deviation: float, random: Random, common: Array | None = None
) -> Array:
    """Scores [R, S, n] whose Spearman's rho with normal accuracies [R, n] varies over draws around `rho`."""
    truth = np.atleast_2d(truth)
    common = random.standard_normal(truth.shape) if common is None else np.atleast_2d(common)
    count, n = truth.shape
    spread = deviation / (1 - rho**2)
    rhos = np.tanh(np.arctanh(rho) + spread * random.standard_normal((count, seeds, 1)))
    r = _pearson(rhos)
    own = random.standard_normal((count, seeds, n))
    return np.asarray(r * truth[:, None] + np.sqrt(1 - r**2) * (common[:, None] + own) / np.sqrt(2))


def _expected(rho: float, deviation: float) -> float:
    """The mean over draws of the rhos that _scores makes."""
    places, weights = np.polynomial.hermite_e.hermegauss(60)
    rhos = np.tanh(np.arctanh(rho) + deviation / (1 - rho**2) * places)
    return float(weights @ rhos / weights.sum())


def _pearson(rho: Array | float) -> Array:
    """Pearson's r of two normal variables of Spearman's rho (Pearson 1907)."""
    return np.asarray(2 * np.sin(np.pi * np.asarray(rho) / 6))


def _tied(values: Array, levels: int) -> Array:
    """Normal values in so many levels, equally many in each."""
    return np.asarray(np.floor(levels * stats.norm.cdf(values)))


def _tied_rho(rho: float, levels: int, random: Random) -> float:
    """The rho that is left between so many levels, of a sample large enough."""
    truth = random.standard_normal(400_000)
    scores = _scores(rho, truth, 1, 0.0, random)[0, 0]
    ranks = centred_ranks(np.stack([_tied(scores, levels), _tied(truth, levels)]))
    return float(_rho(ranks[0], ranks[1:]))


def _rho(x: Array, many: Array) -> float:
    """The mean of Pearson's r of x [n] with each of many [R, n], all around zero."""
    return float(np.mean(many @ x / np.sqrt((x @ x) * np.einsum("rn,rn->r", many, many))))


def _measured(scores: Array, truth: Array, samples: Sequence[Sample] = ()) -> Iterator[Measured]:
    """What measured() finds for scores [R, S, n] and truths [R, n], one by one; trained anew with samples."""
    found = contributions(scores, truth[:, None])
    for number, (value, influence) in enumerate(zip(found.value, found.influence, strict=True)):
        trained = over_trainings(scores[number], samples[number]) if samples else NOTHING
        yield Measured(value, influence, trained)


def _holds(one: Estimate, target: float) -> bool:
    return one.low <= target <= one.high


def _batches(repeats: int, values: int) -> Iterator[int]:
    """How many repetitions at once, each of so many values."""
    step = max(1, HELD // values)
    return (min(step, repeats - start) for start in range(0, repeats, step))
