import json

import pytest

from common.errors import UserError
from common.training.cluster import read_workers

HOSTS = ["a:1", "b:2"]


def config(kind="worker", index=0, **jobs):
    return json.dumps({"cluster": jobs or {"worker": HOSTS}, "task": {"type": kind, "index": index}})


def test_without_tf_config_a_process_trains_alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert read_workers() is None
    monkeypatch.setenv("TF_CONFIG", config(worker=["a:1"]))
    assert read_workers() is None


@pytest.mark.parametrize(
    ("content", "position", "is_chief"),
    [
        (config(index=0), 0, True),
        (config(index=1), 1, False),
        (config("chief", 0, chief=["c:3"], worker=HOSTS), 0, True),
        (config("worker", 0, chief=["c:3"], worker=HOSTS), 1, False),
    ],
)
def test_the_first_process_is_the_chief(content, position, is_chief, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", content)
    workers = read_workers()
    assert (workers.index, workers.is_chief) == (position, is_chief)


@pytest.mark.parametrize(
    "content", ["", "{}", "no json", "[1]", config("ps"), config(index=2), config(index=-1), config(worker="a:1")]
)
def test_a_wrong_tf_config_is_one_line_with_an_example(content, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", content)
    if not content:
        assert read_workers() is None
        return
    with pytest.raises(UserError, match=r"^TF_CONFIG: [^\n]*; expected for instance \{[^\n]*$"):
        read_workers()


def test_the_other_worker_of_a_message_is_named(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(index=0))
    message = "{{node /job:worker/replica:0/task:0/device:CPU:0}} unhealthy:\n/job:worker/replica:0/task:1"
    assert read_workers().named_in(message) == "worker 1 (b:2)"
    assert read_workers().named_in("something else") == ""
