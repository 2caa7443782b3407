import gzip

import numpy as np
import pytest

from common.data.word_vectors import read_vectors
from common.errors import UserError

WORDS = ["<pad>", "House", "the", "The", "dog", "cat"]
LINES = ["the 1 2", "house 3 4", "The 5 6", ". . . 9 9", "cat -1 0.5", "bird 7 7"]


def write(path, lines, header=""):
    path.write_text("".join(f"{line}\n" for line in [*([header] if header else []), *lines]))
    return path


def by_hand():
    vectors = np.array([[0, 0], [3, 4], [1, 2], [5, 6], [0, 0], [-1, 0.5]], "float32")
    found = np.array([False, True, True, True, False, True])
    return vectors / np.sqrt(np.mean(vectors[found] ** 2)), found


@pytest.mark.parametrize("header", ["", "6 2"])
@pytest.mark.parametrize("order", [1, -1])
def test_words_get_their_vectors_and_in_need_those_of_the_lower_case(tmp_path, header, order):
    vectors, found = read_vectors(write(tmp_path / "vectors.vec", LINES[::order], header), WORDS, 2)
    assert np.array_equal(found, by_hand()[1]) and vectors.dtype == "float32"
    np.testing.assert_allclose(vectors, by_hand()[0], rtol=1e-6)
    assert np.mean(vectors[found] ** 2) == pytest.approx(1)


def test_compressed_files_are_read(tmp_path):
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(gzip.compress("\n".join(LINES).encode()))
    np.testing.assert_allclose(read_vectors(path, WORDS, 2)[0], by_hand()[0], rtol=1e-6)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match="damaged .*fetch it again"):
        read_vectors(path, WORDS, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"6 300\nthe 1 2\n", "vectors of width 300, expected 2; choose them with --embedding-dim 300"),
        (b"the 1 2 3\n", "vectors of width 3, expected 2; choose them with --embedding-dim 3"),
        (b"the 1 2\ndog 1 x\n", "line 2: expected a word and 2 numbers, got b'dog 1 x"),
        (b"the 1 2\ndog 1\n", "line 2: expected a word and 2 numbers"),
        (b"the 1 2\ndog 1 nan\n", "line 2: expected a word and 2 numbers"),
        (b"3 2\nthe \0\0\0\0", "a binary file"),
        (b"PK\x03\x04abc", "unpack it first"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path, content, message):
    (tmp_path / "vectors").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_vectors(tmp_path / "vectors", WORDS, 2)
    assert message in str(error.value)


def test_a_file_with_none_of_the_words_finds_none(tmp_path):
    vectors, found = read_vectors(write(tmp_path / "v", ["x 1 2"]), ["a", "b"], 2)
    assert not found.any() and not vectors.any()
