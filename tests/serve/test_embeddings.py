import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from examples.serve.embeddings import Embeddings
from examples.serve.limits import Refused
from examples.serve.registry import RunRegistry
from examples.serve.service import Service

TABLE = Embeddings(["north", "north-east", "east", "south"], np.array([[0, 2], [1, 1], [3, 0], [0, -1]], np.float32))


def test_neighbours_have_the_smallest_angles_whatever_the_lengths():
    assert [name for name, _ in TABLE.neighbours("north")] == ["north-east", "east", "south"]
    similarities = [value for _, value in TABLE.neighbours("north")]
    np.testing.assert_allclose(similarities, [0.5**0.5, 0, -1], atol=1e-6)


def test_an_unknown_symbol_is_refused_with_one_that_is_known():
    with pytest.raises(Refused, match="'up' is not in the vocabulary; it has 'south'"):
        TABLE.neighbours("up")


def test_a_side_that_the_example_has_not_is_refused_with_those_it_has(tmp_path, monkeypatch):
    translator = SimpleNamespace(embeddings=lambda: {"source": None, "target": None})

    async def load(*_):
        return translator

    service = Service(RunRegistry(tmp_path))
    monkeypatch.setattr(service, "load", load)
    with pytest.raises(Refused, match="A run of nmt_attention has no vocabulary 'words'; it has source and target."):
        asyncio.run(service.embeddings("nmt_attention", None, "words"))


@pytest.mark.parametrize("shape", [(1, 4), (4, 1)])
def test_a_single_symbol_or_vectors_of_length_one_have_a_map_in_two_dimensions(shape):
    symbols, points = Embeddings(list("abcd")[: shape[0]], np.ones(shape, np.float32)).map()
    assert points.shape == (len(symbols), 2)


def test_the_map_keeps_the_distances_of_vectors_in_a_plane():
    symbols, points = TABLE.map(3)
    assert symbols == ["north", "north-east", "east"]
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    np.testing.assert_allclose(
        distances, np.linalg.norm(TABLE.vectors[:3, None] - TABLE.vectors[:3], axis=-1), atol=1e-5
    )
