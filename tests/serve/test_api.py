"""The API on runs of a few steps, as a client sees it."""

import asyncio
import io
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from examples.serve.api import create_app
from examples.serve.registry import EXAMPLES, RunRegistry
from examples.serve.service import Service


@pytest.fixture(scope="module")
def client(service):
    with TestClient(create_app(service, requests_per_minute=10_000)) as client:
        yield client


def photo(colour="red"):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_list_names_each_run_and_no_path(client, runs):
    listed = client.get("/v1/runs")
    assert {run["example"] for run in listed.json()} == {*EXAMPLES} and all(run["newest"] for run in listed.json())
    assert str(runs) not in listed.text


def test_text_is_streamed_as_it_is_written_by_the_command(client, service):
    from examples.text_generation.demo import Sampling

    body = {"prompt": "The ", "length": 70, "temperature": 0.7, "seed": 5}
    with client.stream("POST", "/v1/text/generate", json=body) as answer:
        pieces = [json.loads(line)["text"] for line in answer.iter_lines()]
    assert [*map(len, pieces)] == [32, 32, 6]
    generator = service.registry.model(service.registry.choose("text_generation"))
    assert "".join(pieces) == generator.generate("The ", 70, Sampling(0.7, seed=5))[0]


def test_the_losses_are_those_of_the_heat_map(client):
    measured = client.post("/v1/text/loss", json={"text": "The end"}).json()
    assert measured["text"] == "he end" and len(measured["nll_bits"]) == 6 == len(measured["predictions"])
    np.testing.assert_allclose(measured["mean_bits"], np.mean(measured["nll_bits"]), atol=1e-3)


def test_a_text_of_one_token_is_refused(client, service, monkeypatch):
    vocabulary = service.registry.model(service.registry.choose("text_generation")).vocabulary
    monkeypatch.setattr(type(vocabulary), "encode", lambda self, text: [1])  # as a word is in a run of words
    answer = client.post("/v1/text/loss", json={"text": "The"})
    assert answer.status_code == 422 and "no second" in answer.text


def test_images_of_a_seed_are_those_of_its_latents(client):
    by_seed = client.post("/v1/dcgan/images", json={"seed": 3, "count": 3}).json()
    by_latents = client.post("/v1/dcgan/images", json={"latents": by_seed["latents"][1:]}).json()
    assert len(by_seed["images"]) == 3 and by_latents["images"] == by_seed["images"][1:]


def test_translations_come_with_scores_and_attention(client):
    body = {"sentences": ["La mujer pinta.", "El gato ve la casa."], "beam": 4, "n_best": 3}
    translations = client.post("/v1/translate", json=body).json()["translations"]
    assert len(translations) == 2
    for beams in translations:
        assert len(beams) == 3 and beams == sorted(beams, key=lambda each: -each["score"])
        for each in beams:
            assert np.shape(each["attention"])[:1] == (len(each["tokens"]),)


def test_a_caption_has_a_grid_of_attention_for_each_word(client):
    answer = client.post("/v1/caption", files={"photo": ("a.png", photo())}, data={"beam": 2, "n_best": 2})
    captions = answer.json()["captions"]
    assert len(captions) == 2
    for each in captions:
        assert len(each["words"]) == len(each["attention"]) and each["text"] == " ".join(each["words"])


def test_a_photo_waits_at_the_size_of_the_model_and_has_the_same_caption(service):
    shades = np.linspace(0, 255, 300 * 200 * 3).reshape(300, 200, 3).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shades).save(buffer, "PNG")

    async def caption():
        model = await service.load("image_captioning", None)
        small, shown = await service.read_photo(buffer.getvalue(), "shades.png")
        assert small.size == (model.extractor.image_size,) * 2 and shown.size == (420, 630)
        large = await service.caption(Image.fromarray(shades))
        return large, await service.caption(small)

    large, small = asyncio.run(caption())
    assert large == small


def test_word_vectors_are_near_or_far(client):
    query = {"example": "nmt_attention", "side": "source", "symbol": "casa"}
    near = client.get("/v1/vectors/neighbours", params=query).json()
    assert len(near) == 10 and near[0]["similarity"] >= near[9]["similarity"]
    points = client.get("/v1/vectors/map", params={"example": "text_generation", "side": "characters"}).json()
    assert {point["symbol"] for point in points} >= {"e", " "}


# What is refused.

TRANSLATE, SCORE, GENERATE = "/v1/translate", "/v1/translate/score", "/v1/text/generate"


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        (TRANSLATE, {"sentences": ["a"], "beam": 11}, 422, "beam: input should be less than or equal to 10."),
        (TRANSLATE, {"sentences": ["a"], "beam": 1, "n_best": 2}, 422, "n_best should be at most beam, which is 1."),
        (TRANSLATE, {"sentences": ["a" * 1001]}, 413, "sentences 0: at most 1,000 characters are taken, got 1,001."),
        (TRANSLATE, {"sentences": ["a"] * 33}, 413, "sentences: at most 32 items are taken, got 33."),
        (
            TRANSLATE,
            {"sentences": ["a", "a" + "\u0301" * 65]},
            422,
            "sentences 1: line 1: expected at most 64 combining",
        ),
        (SCORE, {"source": "a", "translation": "a" + "\u0301" * 65}, 422, "translation: line 1: expected at most 64"),
        (TRANSLATE, {"sentences": [" "]}, 422, "sentences 0: expected some text, got none."),
        (TRANSLATE, {"sentences": ["a" * 300_000]}, 413, "The request is too large; at most 0.25 MiB are taken."),
        (TRANSLATE, {"sentences": ["a"], "path": "/etc"}, 422, "path: extra inputs are not permitted."),
        (TRANSLATE, {"sentences": ["a"], "run": "../../etc"}, 422, "run: string should match pattern"),
        (TRANSLATE, {"sentences": ["a"], "run": "0" * 12}, 404, "no run of nmt_attention with this id"),
        (TRANSLATE, "{", 422, "The body is not valid JSON."),
        (TRANSLATE, "[]", 422, "The body should be a JSON object, with the header Content-Type: application/json."),
        (TRANSLATE, "", 422, "The body should be a JSON object"),
        (TRANSLATE, '{"sentences": ["é"]}'.encode("latin1"), 422, "The body cannot be read; send JSON in UTF-8"),
        (GENERATE, {"prompt": "<script>"}, 422, "not in the vocabulary of the model: '<' '>'"),
        (GENERATE, {"prompt": "The ", "temperature": float("nan")}, 422, "temperature"),
        ("/v1/dcgan/images", {"latents": [[1.0], [1.0, 2.0]]}, 422, "different lengths"),
        ("/v1/dcgan/images", {"latents": [[1.0]]}, 422, "A latent of this run has 100 numbers, got 1."),
    ],
)
def test_a_refusal_is_one_plain_sentence(client, path, body, status, sentence):
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert sentence in detail and "\n" not in detail and "/tmp" not in detail


@pytest.mark.parametrize(
    ("name", "content", "status", "sentence"),
    [
        ("<script>.png", b"no picture", 422, "<script>.png: not a picture that Pillow can read"),
        ("/home/me/cut.png", photo()[:60], 422, "cut.png: damaged or cut off"),
        ("page.png", b"<html>", 422, "page.png: it is an HTML or XML page, not a picture"),
        ("empty.png", b"", 422, "empty.png: the file is empty"),
        ("huge.png", b"0" * (11 << 20), 413, "The request is too large; at most 10 MiB are taken."),
    ],
)
def test_an_upload_passes_the_checks_of_a_file(client, name, content, status, sentence):
    answer = client.post("/v1/caption", files={"photo": (name, content)})
    assert answer.status_code == status and answer.json()["detail"].startswith(sentence)


def test_a_body_without_a_length_is_counted_as_it_comes(client):
    answer = client.post(TRANSLATE, content=(b"a" * 1000 for _ in range(400)))
    assert answer.status_code == 413 and "too large" in answer.json()["detail"]


def test_one_address_cannot_take_it_all(service):
    client = TestClient(create_app(service, requests_per_minute=2))
    statuses = [client.post("/v1/translate", json={"sentences": ["a"]}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429] and client.get("/v1/runs").status_code == 200


def test_a_request_for_another_name_of_the_host_is_refused(service):
    app = create_app(service, hosts=("127.0.0.1",))
    assert TestClient(app, base_url="http://127.0.0.1:7860").get("/healthz").status_code == 200
    assert TestClient(app, base_url="http://evil.example").get("/healthz").status_code == 400


def test_browsers_are_told_to_load_nothing_from_other_hosts(client):
    assert client.get("/docs").headers["content-security-policy"].startswith("default-src 'self' data: blob:")


def test_a_bug_is_told_without_its_details(service, monkeypatch, capsys):
    async def fail(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(service, "translate", fail)
    client = TestClient(create_app(service), raise_server_exceptions=False)
    answer = client.post("/v1/translate", json={"sentences": ["a"]})
    assert answer.status_code == 500 and "/secret" not in answer.text and "/secret" in capsys.readouterr().err


def test_without_a_run_the_answer_says_so(tmp_path):
    with TestClient(create_app(Service(RunRegistry(tmp_path)))) as client:
        assert client.get("/v1/runs").json() == []
        answer = client.post("/v1/translate", json={"sentences": ["a"]})
        assert answer.status_code == 404 and "no finished run of nmt_attention" in answer.json()["detail"]


def test_health_metrics_and_description(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    client.post("/v1/translate", json={"sentences": ["a"], "beam": 99})
    metrics = client.get("/metrics").text
    assert 'requests_total{path="/v1/translate",status="422"}' in metrics and "batch_size_bucket" in metrics
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/text/generate", "/v1/dcgan/images", "/v1/translate", "/v1/caption", "/v1/runs"} <= paths.keys()


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_description_loads_nothing_from_another_host(client, page):
    html = client.get(page).text
    assert 'src="http' not in html and 'href="http' not in html and "googleapis" not in html


# Streams and batches.


def test_a_client_that_leaves_in_the_middle_of_a_text_leaves_nothing_behind(service):
    pieces, left = [], asyncio.Event()
    body = iter([{"type": "http.request", "body": b'{"prompt": "The ", "length": 2000}', "more_body": False}])
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST", "path": GENERATE}
    scope |= {
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        "query_string": b"",
        "client": ("127.0.0.1", 1),
    }

    async def receive():
        for message in body:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        pieces.extend(line for line in message.get("body", b"").splitlines())
        if len(pieces) == 2:
            left.set()

    async def ask():
        await create_app(service)(scope, receive, send)
        async with asyncio.timeout(60):
            while any(batcher.waiting for batcher in service.batchers.values()):
                await asyncio.sleep(0.01)  # not for a fixed time: until nothing waits

    asyncio.run(ask())
    assert 2 <= len(pieces) < 10  # of 63


def test_each_request_of_a_batch_gets_what_it_would_get_alone(service):
    from examples.serve import schemas

    sentences = ["La mujer vieja pinta la casa roja.", "El gato.", "Los niños ven un árbol verde y viejo.", "sí"]
    scenes = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "white")]

    async def write(seed):
        request = schemas.GenerateText(prompt="The "[: 1 + seed % 4], length=40 + seed, seed=seed)
        return "".join([piece async for piece in service.generate_text(request)])

    def requests():
        """Return functions that ask, of all kinds."""
        translate = [schemas.TranslateSentences(sentences=[each], beam=3, n_best=3) for each in sentences]
        score = [schemas.ScoreTranslation(source=each, translation="The cat.") for each in sentences]
        images = [schemas.GenerateImages(seed=seed, count=seed) for seed in (1, 2, 3)]
        yield from (lambda each=each: service.translate(each) for each in translate)
        yield from (lambda each=each: service.score(each) for each in score)
        yield from (lambda each=each: service.images(each) for each in images)
        yield from (lambda each=each: service.caption(each, beam=2, n_best=2) for each in scenes)
        yield from (lambda seed=seed: write(seed) for seed in range(5))

    sizes = []
    service.observe = lambda name, size: sizes.append(size)

    async def main():
        alone = [await ask() for ask in requests()]
        assert {*sizes} == {1}
        together = await asyncio.gather(*(ask() for ask in requests()))
        return alone, together

    alone, together = asyncio.run(main())
    assert max(sizes) >= 4
    for one, other in zip(alone, together, strict=True):
        _require_equal(*(each if isinstance(each, str) else each.model_dump() for each in (one, other)))


def _require_equal(one, other):
    """Compare answers: texts and pictures exactly, numbers up to the rounding of float32."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            _require_equal(one[name], other[name])
    elif isinstance(one, list):
        for left, right in zip(one, other, strict=True):
            _require_equal(left, right)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=2e-4)
    else:
        assert one == other
