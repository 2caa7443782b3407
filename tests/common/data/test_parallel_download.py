import threading

import pytest
from PIL import Image

from common.data import download, parallel_download
from common.data.images import read_image
from common.data.parallel_download import download_many
from tests.http_server import FaultServer


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv("EAGER_EXAMPLES_OFFLINE")
    monkeypatch.setattr(download, "_TIMEOUT", 0.3)


@pytest.fixture
def photo(tmp_path):
    Image.effect_noise((80, 80), 60).save(tmp_path / "original.jpg")
    return (tmp_path / "original.jpg").read_bytes()


def test_faults_are_named_the_rest_is_used_and_a_second_run_fetches_what_is_missing(tmp_path, photo):
    folder = tmp_path / "photos"
    good = [f"hop-{number}" for number in range(5)]
    bad = ["404", "cut", "stall", "html", "reset", "wrong-once"]
    with FaultServer(photo) as server:
        urls = {folder / f"{path}.jpg": server.url(path) for path in [*good, *bad]}
        failed = download_many(urls, read_image)
        assert sorted(path.stem for path in failed) == sorted(set(bad) - {"wrong-once"})
        assert "404" in failed[folder / "404.jpg"] and "HTML" in failed[folder / "html.jpg"]
        assert server.counts["404"] == 1
        for path in urls:
            assert path.exists() == (path not in failed) and (path in failed or path.read_bytes()[:2] == photo[:2])
        assert not list(folder.glob(".*"))

        asked = len(server.log)
        urls |= {path: server.url("ok") for path in failed}  # by now the server is well
        assert download_many(urls, read_image) == {}
        assert len(server.log) == asked + len(failed)


def test_several_at_a_time(tmp_path, photo):
    together = threading.Barrier(4, timeout=30)  # broken unless four files are there at the same time
    with FaultServer(photo) as server:
        urls = {tmp_path / f"{number}.jpg": server.url("ok") for number in range(8)}
        assert download_many(urls, lambda path: together.wait()) == {}


def test_when_nothing_comes_any_more_the_rest_is_not_asked_for(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(parallel_download, "_MAX_CONSECUTIVE_FAILURES", 8)
    with FaultServer(photo) as server:
        urls = {tmp_path / f"{number}.jpg": server.url("404") for number in range(300)}
        failed = download_many(urls, read_image)
        assert list(failed) == list(urls) and len(server.log) < 150
    assert "404" in failed[tmp_path / "0.jpg"]
    assert failed[tmp_path / "299.jpg"] == "skipped after 8 failures in a row"


def test_failures_with_successes_between_them_stop_nothing(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(parallel_download, "_MAX_CONSECUTIVE_FAILURES", 8)
    with FaultServer(photo) as server:
        urls = {tmp_path / f"{n}.jpg": server.url("404" if n % 8 else "ok") for n in range(64)}
        failed = download_many(urls, read_image)
        assert len(failed) == 56 and all("404" in reason for reason in failed.values())


def test_offline_nothing_is_asked(tmp_path, photo, monkeypatch):
    monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", "1")
    (tmp_path / "there.jpg").write_bytes(photo)
    with FaultServer(photo) as server:
        urls = {tmp_path / name: server.url("ok") for name in ("there.jpg", "gone.jpg")}
        assert list(download_many(urls, read_image)) == [tmp_path / "gone.jpg"] and not server.log


def test_a_part_left_by_a_kill_goes_when_its_file_is_complete(tmp_path, photo):
    stale, other = (tmp_path / f".{name}.{'0' * 32}.part" for name in ("a.jpg", "b.jpg"))
    stale.write_bytes(b"x")
    other.write_bytes(b"x")
    with FaultServer(photo) as server:
        download_many({tmp_path / "a.jpg": server.url("ok")}, read_image)
    assert not stale.exists() and other.exists()


def test_a_photo_that_another_process_completes_is_no_failure(tmp_path, photo):
    path = tmp_path / "a.jpg"

    def check(part):  # meanwhile the other process finishes, and removes the temporary file as left over
        path.write_bytes(photo)
        part.unlink()

    with FaultServer(photo) as server:
        assert download_many({path: server.url("ok")}, check) == {} and path.read_bytes() == photo


def test_more_than_a_photo_ever_has_is_cut_off(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(parallel_download, "_MAX_BYTES", 1000)
    with FaultServer(photo) as server:
        [reason] = download_many({tmp_path / "x.jpg": server.url("endless")}, read_image).values()
    assert "1000 bytes" in reason
