from common.io.processor import processor_features


def test_features_are_whole_words_of_the_first_processor(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: X\nflags\t\t: fpu avx2 avx512_bf16x\n\nmodel name\t: Y\nflags\t\t: avx512f\n")
    assert processor_features(path) == ["avx2"]
    assert processor_features(tmp_path / "missing") == []


def test_onednn_can_be_told_to_do_without_the_later_ones(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    path.write_text("flags\t\t: avx2 avx512f avx512_bf16\n")
    assert processor_features(path) == ["avx2", "avx512f", "avx512_bf16"]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert processor_features(path) == ["avx2"]
