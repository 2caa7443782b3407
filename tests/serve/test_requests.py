"""Requests that end before a model is asked, with a stand-in for all models."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from common.data.pieces import PieceVocabulary
from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.serve import registry
from examples.serve.api import create_app
from examples.serve.limits import MAX_UPLOAD
from examples.serve.registry import RunRegistry
from examples.serve.service import Service


class Model:
    """Stands for all models."""

    vocabulary = PieceVocabulary(sorted("\né aefcT"))
    extractor = SimpleNamespace(image_size=8)


@pytest.fixture
def service(tmp_path, monkeypatch):
    for example in registry.EXAMPLES:
        run = RunDirectory(tmp_path / example)
        run.path.mkdir()
        config = {"example": example, "settings": {}, "data": {}, "versions": {}, "created": "2026-11-28 12:00:00"}
        run.config.write_text(json.dumps(config))
        run.report.write_text("")
    monkeypatch.setattr(registry, "_load", lambda run: Model())
    return Service(RunRegistry(tmp_path))


def test_a_client_that_leaves_leaves_nothing_waiting(service):
    service.batchers["translate"].answer = lambda key, sentences: pytest.fail("was computed")
    messages = [{"type": "http.request", "body": b'{"sentences": ["a", "b"]}', "more_body": False}]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST", "path": "/v1/translate",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")], "query_string": b"",
        "client": ("127.0.0.1", 1),
    }  # fmt: skip

    async def receive():
        if messages:
            return messages.pop()
        while not service.batchers["translate"].waiting:
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    async def ask():
        await asyncio.wait_for(create_app(service)(scope, receive, send), 10)
        return service.batchers["translate"].waiting

    assert asyncio.run(ask()) == 0


def test_browsers_are_told_to_guess_no_type_and_to_load_nothing_from_other_hosts(service):
    headers = TestClient(create_app(service)).get("/healthz").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'self' ")


def test_a_photo_of_exactly_the_limit_is_read(service):
    client = TestClient(create_app(service))
    answer = client.post("/v1/caption", files={"photo": ("a.png", b"0" * MAX_UPLOAD)})
    assert answer.status_code == 422 and "not a picture" in answer.text
    answer = client.post("/v1/caption", files={"photo": ("a.png", b"0" * (MAX_UPLOAD + 1))})
    assert answer.status_code == 413 and "at most 10 MiB" in answer.text


def test_a_photo_that_is_no_file_is_told_in_a_plain_sentence(service):
    answer = TestClient(create_app(service)).post("/v1/caption", data={"photo": "holiday.jpg"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "photo: expected a file, got a text; with curl, write photo=@FILE."


@pytest.mark.parametrize(("prompt", "normalised"), [("cafe\u0301", "café"), ("caf\r\na", "caf\na")])
def test_a_prompt_is_normalised_as_the_texts_of_the_training_are(service, prompt, normalised):
    begun = []

    def begin(key, requests):
        begun.extend(request[0] for request in requests)
        return [UserError("enough")]

    service.batchers["text_begin"].answer = begin
    client = TestClient(create_app(service), raise_server_exceptions=False)
    client.post("/v1/text/generate", json={"prompt": prompt})
    assert begun == [normalised]


def test_what_is_refused_before_a_route_is_counted_as_well(service):
    client = TestClient(create_app(service, requests_per_minute=1))
    assert [client.post("/v1/translate", json={}).status_code for _ in range(2)] == [422, 429]
    assert 'requests_total{path="refused before a route",status="429"} 1.0' in client.get("/metrics").text
