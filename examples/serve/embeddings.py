"""Word vectors of trained models: nearest neighbours, and a map in two dimensions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from examples.serve.limits import Refused

MAP_SIZE = 300
"""Symbols on a map, the first of the vocabulary; of a translator of words the most frequent ones."""


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of a vocabulary."""

    symbols: Sequence[str]
    vectors: np.ndarray
    """float32 [V, E]"""

    def neighbours(self, symbol: str, count: int = 10) -> list[tuple[str, float]]:
        """Return the `count` symbols of the greatest cosine similarity to `symbol`, with it, the nearest first.

        Raises:
            Refused: the symbol is not in the vocabulary.
        """
        if symbol not in self.symbols:
            raise Refused(f"{symbol[:40]!r} is not in the vocabulary; it has {self.symbols[-1]!r}, for instance.")
        index = list(self.symbols).index(symbol)
        unit = self.vectors / np.maximum(np.linalg.norm(self.vectors, axis=1, keepdims=True), 1e-9)  # V E
        similarity = unit @ unit[index]  # V
        order = [i for i in np.argsort(-similarity) if i != index][:count]
        return [(self.symbols[i], float(similarity[i])) for i in order]

    def map(self, count: int = MAP_SIZE, near: Collection[str] = ()) -> tuple[list[str], np.ndarray]:
        """Return the first `count` symbols and those in `near`, and their first two principal components [N, 2]."""
        chosen = [i for i, symbol in enumerate(self.symbols) if i < count or symbol in near]
        vectors = self.vectors[chosen] - self.vectors[chosen].mean(axis=0)  # N E
        _, _, axes = np.linalg.svd(vectors, full_matrices=False)
        points = vectors @ axes[:2].T  # N 2; fewer columns for a single symbol, or vectors of length 1
        return [self.symbols[i] for i in chosen], np.pad(points, [(0, 0), (0, 2 - points.shape[1])])
