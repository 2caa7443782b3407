"""Every reader, given anything: an answer or the documented error, in finite time.

FUZZ_EXAMPLES=20000 python -m pytest tests/faults/test_fuzz.py     tries each so many times instead of 200
"""

import gzip
import hashlib
import io
import json
import os
from dataclasses import asdict
from datetime import timedelta
from importlib import import_module

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from common.app.report import Picture
from common.data.images import read_image
from common.data.skipped import SkippedExamples
from common.data.text_files import read_text
from common.data.vocabulary import Vocabulary
from common.errors import UserError
from common.io.files import read_plain
from common.io.records import checked, read_record
from common.io.tensors import tensor_bytes, tensors_from
from common.training.checkpoints import Checkpoints, DamagedError, read_checkpoint
from common.training.run_directory import RunDirectory
from common.training.trainer import TrainingState
from examples.__main__ import example_names
from examples.dcgan.data import read_idx
from examples.image_captioning.download.coco_flickr8k import read_coco_captions
from examples.image_captioning.download.image_files import hash_photos
from examples.image_captioning.download.image_folder import load_folder
from examples.image_captioning.preprocess.feature_store import ShardNotes
from examples.nmt_attention.data import load_tables
from examples.nmt_attention.demonstrate.attention_plots import draw_training_gif
from examples.nmt_attention.preprocess.parallel_corpus import clean_pairs

fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")),
    deadline=timedelta(seconds=30),  # a hang, even on a busy machine
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,  # the same ones every time, unless asked for many
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


PIECES = [b"\t", b"\n", b"\r", b'"', b"\0", b"[" * 2000]


@st.composite
def damaged(draw, whole):
    """Valid content of which a few pieces are replaced, doubled, left out or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 20)))
        content[start:end] = draw(
            st.binary(max_size=6) | st.sampled_from([b"\t", b"\n", b"\r", b'"', b"\0", b"[" * 2000])
        )
    return bytes(content)


def altered(value):
    """A JSON value in which any part may be another JSON value, or missing."""
    if isinstance(value, dict):
        parts = {name: st.just(None) | altered(part) for name, part in value.items()}
        return JSON | st.fixed_dictionaries({}, optional=parts) | st.just(value)
    if isinstance(value, list):
        return JSON | st.lists(st.one_of(*map(altered, value)), max_size=4) | st.just(value)
    return JSON | st.just(value)


def contents(value):
    """The bytes of a JSON file: some of the right kind, some nearly, some anything."""
    text = altered(value).map(lambda found: json.dumps(found).encode())
    return text | damaged(json.dumps(value).encode()) | st.binary(max_size=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def outcome(read, path, content):
    """Return what `read` returns, None after a UserError of one line that names the file."""
    path.write_bytes(content)
    try:
        return read(path)
    except UserError as error:
        assert path.name in str(error) and str(error).count("\n") == 0, error
        return None


@fuzz
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | damaged("é\r\n\ufeffnaïve".encode()))
def test_text(folder, content):
    text = outcome(read_text, folder / "text.txt", content)
    assert text is None or (text.strip() and "\r" not in text)


ROWS = "".join(f"sentence {n}.\tfrase {n}.\tCC-BY\n" for n in range(5)).encode()


@fuzz
@given(content=st.binary(max_size=100) | st.text(max_size=100).map(str.encode) | damaged(ROWS))
def test_sentence_pairs(folder, content):
    def read(path):
        return clean_pairs(load_tables(str(path))["all"], (2, 1), 10, f"--data {path}")

    for name in ("pairs.tsv", "pairs.csv", "pairs.jsonl", "pairs.json"):
        pairs = outcome(read, folder / name, content)
        assert pairs is None or all(source.strip() and target.strip() for source, target in pairs)


ENTRIES = [{"image": "a.jpg", "captions": ["One.", "Two."], "split": "train"}, {"image": "b/c.jpg", "captions": "x"}]


def photos(path):
    skipped = SkippedExamples()
    found = load_folder(path, skipped)
    assert found and all(photo.captions for photo in found)
    hash_photos(found, skipped)
    assert all("\n" not in reason for reason in skipped.reasons)
    return found


@fuzz
@given(content=contents(ENTRIES))
@example(content=b'[{"image": "a\\u0000.jpg", "captions": ["x"]}]')
@example(content=b'[{"image": "\\ud800.jpg", "captions": ["x"]}]')
def test_captions_json(folder, content):
    outcome(photos, folder / "captions.json", content)


@fuzz
@given(content=st.binary(max_size=100) | st.text(max_size=100).map(str.encode) | damaged(b"a.jpg\tOne.\n" * 2))
def test_captions_tsv(folder, content):
    outcome(photos, folder / "captions.tsv", content)
    outcome(photos, folder / "captions.csv", content.replace(b"\t", b","))


COCO = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "x"}]}


@fuzz
@given(content=contents(COCO))
def test_coco_captions(folder, content):
    captions = outcome(read_coco_captions, folder / "coco.json", content)
    assert captions is None or all("/" not in name for name in captions)


IDX = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))


@fuzz
@given(content=st.binary(max_size=64) | damaged(gzip.compress(IDX)) | damaged(IDX).map(gzip.compress))
@example(content=gzip.compress(bytes([0, 0, 8, 65]) + b"\0\0\0\1" * 65 + b"x"))
@example(content=gzip.compress(bytes([0, 0, 8, 2]) + b"\x80\0\0\0" * 2))
def test_idx(folder, content):
    array = outcome(read_idx, folder / "idx.gz", content)
    assert array is None or array.dtype == np.uint8


@fuzz
@given(content=contents(["<pad>", "a", "é"]))
def test_vocabulary(folder, content):
    vocabulary = outcome(Vocabulary.load, folder / "vocabulary.json", content)
    assert vocabulary is None or len(vocabulary) == len(set(vocabulary.symbols))


@pytest.mark.parametrize("name", example_names())
@fuzz
@given(data=st.data())
def test_config(folder, name, data):
    config = import_module(f"examples.{name}.config")
    tiny = config.PRESETS["tiny"].settings()
    whole = {"example": name, "settings": tiny, "data": {}, "data_dir": "x", "versions": {}, "created": "now"}
    wrong = st.dictionaries(st.sampled_from([*tiny, "more"]), JSON, max_size=3).map(
        lambda changes: json.dumps(whole | {"settings": tiny | changes}).encode()
    )

    def read(path):
        return config.Config.from_settings(RunDirectory.open(path.parent, name).read_config().settings)

    path = folder / "config.json"
    path.write_bytes(data.draw(wrong | contents(whole)))
    try:
        read(path)
    except UserError as error:
        assert "config.json" in str(error) or "--" in str(error) or "expected one of" in str(error)


@fuzz
@given(content=damaged(b"epoch,step,seconds,loss\n1,5,0.1,0.25\n2,10,0.2,0.125\n") | st.binary(max_size=64))
def test_metrics(folder, content):
    outcome(lambda path: RunDirectory(path.parent).read_metrics(), folder / "metrics.csv", content)


@fuzz
@given(content=contents({"split": "test", "rule": "r", "seconds": 1.5, "metrics": {"bleu": 40.5}}))
def test_evaluation(folder, content):
    outcome(lambda path: RunDirectory(path.parent).read_evaluation(), folder / "evaluation.json", content)


def write_checkpoint(folder, state, weights):
    """Write a checkpoint whose digests are right, whatever it holds, as someone can who knows this code."""
    checkpoint = folder / "latest-00000001"
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / "variables.safetensors").write_bytes(weights)
    payload = json.dumps({"variables": hashlib.sha256(weights).hexdigest(), "state": state})
    whole = {"checksum": hashlib.sha256(payload.encode()).hexdigest(), "payload": payload}
    (checkpoint / "state.json").write_text(json.dumps(whole))
    return checkpoint, whole


WEIGHTS = tensor_bytes({"model/value": np.ones((2, 3), "float32"), "optimizer/0": np.array(3)})
STATE = asdict(TrainingState(epoch=1, step=5, sums={"loss": 1.0}, history=[{"epoch": 1, "loss": 1.0}], best=1.0))


def refused(read):
    """Return what `read` returns, None after one line that says why not."""
    try:
        return read()
    except (UserError, DamagedError) as error:
        assert str(error).count("\n") == 0, error
        return None


@fuzz
@given(data=st.data())
def test_seal_of_a_checkpoint(folder, data):
    checkpoint, whole = write_checkpoint(folder, {}, WEIGHTS)
    (checkpoint / "state.json").write_bytes(data.draw(contents(whole)))
    found = refused(lambda: read_checkpoint(checkpoint, 10**6))
    assert found is None or found[1] == {}


@fuzz
@given(state=altered(STATE))
def test_state_of_a_checkpoint(folder, state):
    checkpoint, _ = write_checkpoint(folder, state, WEIGHTS)
    progress = refused(lambda: checked(TrainingState, read_checkpoint(checkpoint, 10**6)[1], checkpoint))
    assert progress is None or min(progress.epoch, progress.batch_in_epoch, progress.step, progress.seconds) >= 0


@fuzz
@given(weights=damaged(WEIGHTS) | st.binary(max_size=64))
def test_weights_of_a_checkpoint(folder, weights):
    write_checkpoint(folder, {}, weights)
    variable = tf.Variable(tf.zeros([2, 3]))
    state = refused(lambda: Checkpoints(folder, model={"value": variable}).restore("latest"))
    assert state in (None, {}) and not list(folder.glob("damaged-*"))


@fuzz
@given(weights=damaged(WEIGHTS) | st.binary(max_size=64))
def test_weights_of_an_encoder(folder, weights):
    outcome(lambda path: tensors_from(read_plain(path, 10**6), path), folder / "encoder.safetensors", weights)


@fuzz
@given(content=contents({"sha256": "0" * 64, "faults": {"3": "3.jpg: damaged"}}))
def test_notes_of_features(folder, content):
    notes = outcome(lambda path: read_record(path, ShardNotes), folder / "00000.json", content)
    assert notes is None or all(number >= 0 for number in notes.faults)


@fuzz
@given(content=contents({"pair": ["a b", "c d"], "attention": [[0.5, 0.5], [1.0, 0.0]]}))
def test_attention_of_an_epoch(folder, content):
    run = RunDirectory(folder)
    run.samples.mkdir(exist_ok=True)
    run.figures.mkdir(exist_ok=True)
    run.metrics.unlink(missing_ok=True)
    (run.samples / "epoch_0000.json").write_bytes(content)
    refused(lambda: draw_training_gif(run))


@fuzz
@given(content=st.binary(max_size=64) | damaged(WEIGHTS))
def test_pictures_of_a_report(folder, content):
    path = folder / "figure.png"
    path.write_bytes(content)
    picture = Picture(path, "a figure")
    assert picture.source.startswith("data:image/png;base64,")
    refused(lambda: picture.size)


def picture(form):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(256, size=(9, 12, 3), dtype=np.uint8)).save(buffer, form)
    return buffer.getvalue()


PICTURES = {form: picture(form) for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP")}


@pytest.mark.parametrize("form", PICTURES)
@fuzz
@given(data=st.data())
def test_pictures(folder, form, data):
    image = outcome(read_image, folder / "picture.img", data.draw(damaged(PICTURES[form])))
    assert image is None or image.mode in ("L", "RGB")
