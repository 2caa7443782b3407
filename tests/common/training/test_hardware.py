import pytest
import tensorflow as tf

from common.training import hardware, precision
from common.training.hardware import Precision, fast_precision
from tests.toy import start_run

GPU = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])


def with_gpu(monkeypatch, **details):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [GPU])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([], "float32"),
        (["avx2", "avx512f"], "float32"),
        (["avx2", "avx512f", "avx512_bf16"], "bfloat16"),
        (["amx_bf16"], "bfloat16"),
    ],
)
def test_a_processor_gets_bfloat16_where_it_has_it(features, expected, no_gpu, monkeypatch):
    monkeypatch.setattr(hardware, "processor_features", lambda: features)
    assert fast_precision().name == expected
    assert all(feature in fast_precision().reason for feature in features[-1:] if expected == "bfloat16")


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_a_gpu_gets_bfloat16_from_ampere_on(capability, expected, monkeypatch):
    with_gpu(monkeypatch, compute_capability=capability)
    assert fast_precision() == Precision(expected, f"the GPU has compute capability {capability[0]}.{capability[1]}")


def test_a_gpu_that_tells_nothing_gets_float32(monkeypatch):
    with_gpu(monkeypatch)
    assert fast_precision().name == "float32"


@pytest.mark.parametrize("suited", ["float32", "bfloat16"])
def test_auto_chooses_and_tells_why(suited, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision, "fast_precision", lambda: Precision(suited, "of the moon"))
    assert precision.resolve_precision("auto", tmp_path / "run", fresh=False) == suited
    assert capsys.readouterr().out == f"precision: {suited}, because of the moon\n"


def test_a_run_keeps_its_precision(tmp_path, no_gpu, monkeypatch, capsys):
    monkeypatch.setattr(precision, "fast_precision", lambda: Precision("float32", "there is nothing faster"))
    start_run(tmp_path / "run", precision="bfloat16")
    assert precision.resolve_precision("auto", tmp_path / "run", fresh=False) == "bfloat16"
    assert capsys.readouterr().err == (
        "warning: bfloat16 is slower than float32 here, because there is nothing faster\n"
    )
    assert precision.resolve_precision("auto", tmp_path / "run", fresh=True) == "float32"


@pytest.mark.parametrize(
    ("requested", "suited", "warns"),
    [("bfloat16", "float32", True), ("bfloat16", "bfloat16", False), ("float32", "bfloat16", False)],
)
def test_a_slow_precision_is_used_if_asked_for(requested, suited, warns, tmp_path, no_gpu, monkeypatch, capsys):
    monkeypatch.setattr(precision, "fast_precision", lambda: Precision(suited, "of the moon"))
    assert precision.resolve_precision(requested, tmp_path / "run", fresh=False) == requested
    assert ("slower" in capsys.readouterr().err) == warns


def test_a_run_stores_its_hardware(tmp_path):
    stored = start_run(tmp_path / "run").read_config().hardware
    assert stored["processor"] and int(stored["cores"]) >= 1
