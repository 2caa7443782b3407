import json
import urllib.request

import numpy as np
import tensorflow as tf
from tensorboard import program

from common.training.projector import MAX_SYMBOLS, write_projector
from common.training.run_directory import RunDirectory


def test_tensorboard_serves_symbols_and_vectors(tmp_path):
    run = RunDirectory(tmp_path)
    with tf.summary.create_file_writer(str(run.tensorboard)).as_default(step=1):
        tf.summary.scalar("loss", 1.0)
    vectors = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    write_projector(run, {"source": (["to", "\n", "a\tb", "é"], vectors), "target": (["x"], vectors[:1])})

    board = program.TensorBoard()
    board.configure(logdir=str(tmp_path), port=0, load_fast="false", reload_interval=0, reload_task="blocking")
    url = board.launch() + "data/plugin/projector"

    def get(path):
        with urllib.request.urlopen(f"{url}/{path}", timeout=60) as answer:
            return answer.read()

    assert json.loads(get("runs")) == ["tensorboard"]
    source, target = json.loads(get("info?run=tensorboard"))["embeddings"]
    assert (source["tensorShape"], target["tensorShape"]) == ([4, 3], [1, 3])
    assert get("metadata?run=tensorboard&name=source").decode().splitlines() == ["to", "'\\n'", "a b", "é"]
    sent = np.frombuffer(get("tensor?run=tensorboard&name=source"), np.float32)
    np.testing.assert_allclose(sent.reshape(4, 3), vectors, rtol=1e-3)


def test_a_large_vocabulary_is_cut(tmp_path):
    run = RunDirectory(tmp_path)
    run.tensorboard.mkdir()
    write_projector(run, {"words": ([f"w{n}" for n in range(MAX_SYMBOLS + 5)], np.zeros([MAX_SYMBOLS + 5, 1]))})
    for name in ("vectors", "symbols"):
        assert len((run.tensorboard / f"words_{name}.tsv").read_text().splitlines()) == MAX_SYMBOLS
