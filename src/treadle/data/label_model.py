"""The label model: how often each rule is right, estimated from the votes alone, and what the votes say together.

Given the class, the rules are taken to vote independently of one another. Then the covariance of the votes of two rules
is a product of one number for each, and three rules give each of them in closed form (Fu and others, "Fast and
three-rious: speeding up weak supervision with triplet methods", 2020; Ratner and others, "Training complex models with
multi-task weak supervision", 2019). Centred votes need no symmetry between the classes, so that rules may vote for one
class only; their third moment gives the balance of the classes (Jaffe, Nadler and Kluger, "Estimating the accuracies of
multiple classifiers without labeled data", 2015). All triplets of a rule count, by least squares. More than two classes
are taken one against the rest.

Shape:
    P patterns of votes, J rules, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ABSTAIN = -1
NEEDED = 3  # rules, to estimate the accuracy of each
DEPENDENT = 0.08  # correlation of two rules beyond what the class explains, from which they no longer count as a pair
LEAST = 0.02  # of the share of a vote, within any class: no single vote decides with certainty
_TINY = 1e-12


@dataclass(frozen=True)
class Votes:
    """Votes of rows, each pattern once."""

    codes: Ints  # `[P, J]` class that a rule votes for, or ABSTAIN
    counts: Floats  # `[P]` rows
    num_classes: int

    @property
    def shares(self) -> Floats:
        """`[P]`, which sum to 1."""
        shares: Floats = self.counts / self.counts.sum()
        return shares

    @property
    def indicators(self) -> Floats:
        """`[P, J, K + 1]` whether a rule votes so; abstaining is the last vote."""
        votes = np.where(self.codes == ABSTAIN, self.num_classes, self.codes)
        return np.eye(self.num_classes + 1)[votes]


@dataclass(frozen=True)
class Pair:
    """Two rules that agree, or disagree, more than their accuracies explain."""

    first: int
    second: int
    correlation: float  # beyond what the class explains


@dataclass(frozen=True)
class LabelModel:
    """What the rules are taken to know."""

    balance: Floats  # `[K]` share of each class
    chances: Floats  # `[D, K + 1, K]` of each vote of a distinct rule, given the class; abstaining is the last vote
    first: Ints  # `[J]` the first rule that always votes as this one does: itself, of a distinct one
    pairs: list[Pair]  # of which each rule's accuracy was estimated without the other; of two classes only

    def predict(self, votes: Votes) -> Floats:
        """`[P, K]` probability of each class, given the votes; abstaining says something, too."""
        indicators = votes.indicators[:, np.unique(self.first)]
        chances = np.log(self.chances).reshape(-1, votes.num_classes)
        logs = np.log(self.balance) + indicators.reshape(len(indicators), -1) @ chances
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        found: Floats = weights / weights.sum(axis=1, keepdims=True)
        return found

    def list_accuracies(self) -> Floats:
        """`[J]` how often a rule is right where it votes."""
        joint = self.chances[:, :-1] * self.balance
        accuracies: Floats = np.trace(joint, axis1=1, axis2=2) / np.maximum(joint.sum(axis=(1, 2)), _TINY)
        return accuracies[np.searchsorted(np.unique(self.first), self.first)]


def count_majority(votes: Votes) -> Floats:
    """`[P, K]` share of each class among the votes; equal shares where no rule votes."""
    counts = votes.indicators[:, :, :-1].sum(axis=1)
    sums = counts.sum(axis=1, keepdims=True)
    shares: Floats = np.where(sums > 0, counts / np.maximum(sums, 1), 1 / votes.num_classes)
    return shares


def estimate(votes: Votes, *, balance: Floats | None) -> LabelModel | None:
    """The label model; None where fewer than `NEEDED` rules vote differently. Rules that always vote alike count once.

    Args:
        votes: of the rows.
        balance: `[K]` share of each class; None: it is estimated, too, which needs rules that are independent indeed.
    """
    first = _find_first(votes.codes)
    distinct = np.unique(first)
    if len(distinct) < NEEDED:
        return None
    votes = Votes(votes.codes[:, distinct], votes.counts, votes.num_classes)
    indicators, shares = votes.indicators, votes.shares
    means = np.einsum("p,pjv->jv", shares, indicators)
    found = [_Against.of(votes, k) for k in range(votes.num_classes)]
    if balance is None:
        estimated = np.array([against.estimate_balance(shares) for against in found])
        balance = estimated / estimated.sum()
    chances = np.empty((len(distinct), votes.num_classes + 1, votes.num_classes))
    for k, against in enumerate(found):
        share = balance[k]
        steps = against.measure_steps(indicators - means, shares) / np.sqrt(share * (1 - share))
        chances[:, :, k] = means + (1 - share) * steps
    chances = np.maximum(chances, np.maximum(LEAST * means[:, :, None], _TINY))
    pairs = [Pair(int(distinct[p.first]), int(distinct[p.second]), p.correlation) for p in found[-1].pairs]
    return LabelModel(balance, chances / chances.sum(axis=1, keepdims=True), first, pairs)


def _find_first(codes: Ints) -> Ints:
    """`[J]` the first rule that votes as each of them does."""
    first: dict[bytes, int] = {}
    return np.array(
        [first.setdefault(votes.tobytes(), rule) for rule, votes in enumerate(codes.T.copy())], dtype=np.int64
    )


@dataclass(frozen=True)
class _Against:
    """One class against the rest: 1 for a vote for it, -1 for another, 0 where a rule abstains; centred."""

    signs: Floats  # `[P, J]`
    loadings: Floats  # `[J]` whose product is the covariance of two rules
    used: Floats  # `[J, J]` 1 for a pair of rules that is independent, given the class; 0 for others, and the diagonal
    pairs: list[Pair]

    @classmethod
    def of(cls, votes: Votes, k: int) -> _Against:
        """Estimate the loadings, and leave out one dependent pair after the other while triplets remain for each."""
        signs = np.where(votes.codes == ABSTAIN, 0.0, np.where(votes.codes == k, 1.0, -1.0))
        signs -= votes.shares @ signs
        covariance = (signs * votes.shares[:, None]).T @ signs
        scale = np.sqrt(np.maximum(np.diag(covariance), _TINY))
        used, pairs = 1 - np.eye(len(scale)), list[Pair]()
        loadings = _load(covariance, used)
        while votes.num_classes == 2:  # noqa: PLR2004 - of more, the rest is no class: votes hang together within it
            excess = used * (covariance - np.outer(loadings, loadings)) / np.outer(scale, scale)
            first, second = np.unravel_index(np.abs(excess).argmax(), excess.shape)
            fewer = used.copy()
            fewer[first, second] = fewer[second, first] = 0
            if abs(excess[first, second]) < DEPENDENT or not _count_triplets(fewer).all():
                break
            pairs.append(Pair(int(first), int(second), float(excess[first, second])))
            used = fewer
            loadings = _load(covariance, used)
        return cls(signs, loadings, used, pairs)

    def estimate_balance(self, shares: Floats) -> float:
        """The share of the class, by the third moments of three rules each."""
        weighted = self.signs * shares[:, None]
        above, below = 0.0, 0.0
        for rule in range(len(self.loadings)):
            moments = (weighted * self.signs[:, [rule]]).T @ self.signs
            products = self.loadings[rule] * np.outer(self.loadings, self.loadings)
            triplets = self.used * np.outer(self.used[rule], self.used[rule])
            above += float((moments * products * triplets).sum())
            below += float((products**2 * triplets).sum())
        skew = above / max(below, _TINY)
        return float(0.5 * (1 - skew / np.sqrt(4 + skew**2)))

    def measure_steps(self, centred: Floats, shares: Floats) -> Floats:
        """`[J, K + 1]` by how much each vote is likelier within the class, times the deviation of the class.

        Args:
            centred: `[P, J, K + 1]` indicators of the votes less their means.
            shares: `[P]` of the patterns.
        """
        flat = centred.reshape(len(centred), -1)
        covariance = (flat.T @ (self.signs * shares[:, None])).reshape(*centred.shape[1:], -1)
        loadings = self.used * self.loadings
        sizes = np.maximum((loadings**2).sum(axis=1, keepdims=True), _TINY)
        steps: Floats = np.einsum("jvi,ji->jv", covariance, loadings) / sizes
        return steps


def _load(covariance: Floats, used: Floats) -> Floats:
    """`[J]` loadings of the rules, by least squares over all triplets of pairs that are used."""
    pairs = covariance * used
    above = np.einsum("ij,ik,jk->i", pairs, pairs, pairs, optimize=True)
    below = np.einsum("ij,ik,jk->i", used, used, pairs**2, optimize=True)
    sizes: Floats = np.sqrt(np.maximum(above / np.maximum(below, _TINY), 0))
    _, vectors = np.linalg.eigh(pairs)
    direction = vectors[:, -1] * (1 if vectors[:, -1].sum() >= 0 else -1)  # most rules are better than chance
    return np.where(direction < 0, -sizes, sizes)


def _count_triplets(used: Floats) -> Floats:
    counts: Floats = np.einsum("ij,ik,jk->i", used, used, used, optimize=True)
    return counts
