"""The vocabulary: a mapping between symbols and ids, saved with the run."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.io.files import write_atomically
from common.io.records import Line, read_record

_MAX_VOCABULARY_BYTES = 1 << 26


class Vocabulary:
    """A fixed, ordered set of symbols (characters or words) and the two mappings between symbols and ids.

    >>> vocabulary = Vocabulary(sorted(set("to be")))
    >>> vocabulary.encode("bet")
    array([1, 2, 4], dtype=int32)
    >>> "".join(vocabulary.decode([1, 2, 4]))
    'bet'
    """

    def __init__(self, symbols: Sequence[str]):
        """Number `symbols` from 0 in the order given.

        Raises:
            ValueError: there are no symbols, or a duplicate.
        """
        self.symbols = list(symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if not self.symbols or len(self._ids) != len(self.symbols):
            raise ValueError(f"expected distinct symbols, got {len(self.symbols)} with {len(self._ids)} distinct")

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, symbols: Iterable[str], unknown: int | None = None) -> np.ndarray:
        """Return the ids of `symbols`, int32 [length]; `unknown` is the id of those outside of the vocabulary.

        Raises:
            UserError: a symbol is not in the vocabulary, and `unknown` is None; the message lists all of them.
        """
        if unknown is not None:
            return np.fromiter((self._ids.get(symbol, unknown) for symbol in symbols), dtype=np.int32)
        try:
            return np.fromiter((self._ids[symbol] for symbol in symbols), dtype=np.int32)
        except KeyError:
            missing = sorted(set(symbols) - self._ids.keys())
            listed = " ".join(repr(symbol) for symbol in missing[:20]) + (" ..." if len(missing) > 20 else "")
            raise UserError(
                f"{len(missing)} symbol(s) not in the vocabulary of the model: {listed}; leave them out, "
                f"or train on a text that has them"
            ) from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the symbols of `ids`."""
        return [self.symbols[index] for index in ids]

    def save(self, path: Path) -> None:
        """Write the symbols as a JSON list, one per line."""
        write_atomically(path, json.dumps(self.symbols, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Return the vocabulary in a file of `save`.

        Raises:
            UserError: the file is missing, or not a JSON list of distinct strings.
        """
        symbols = read_record(path, list[Line], _MAX_VOCABULARY_BYTES)
        try:
            return cls(symbols)
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); restore it from a copy of the run") from error
