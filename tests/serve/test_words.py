"""The text of a run whose tokens are words."""

import asyncio
from dataclasses import replace

import pytest

from examples.serve import schemas
from examples.serve.registry import RunRegistry
from examples.serve.service import Service
from examples.text_generation.config import PRESETS
from examples.text_generation.demo import Sampling
from examples.text_generation.report import write_report
from examples.text_generation.train import train
from tests.own_pairs import own_pairs


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    (folder / "mine.txt").write_text("".join(f"{english}\n" for _, english in own_pairs("german", 500)))
    settings = replace(PRESETS["tiny"], data=str(folder / "mine.txt"), tokens="words", epochs=1, steps_per_epoch=8)
    write_report(train(replace(settings, run_dir=folder / "runs" / "words")))
    return Service(RunRegistry(folder / "runs"))


def test_the_pieces_of_a_stream_are_the_words_that_the_command_writes(service):
    async def pieces():
        model = await service.load("text_generation", None)
        request = schemas.GenerateText(prompt="The old", length=40, temperature=0.7, seed=5)
        return model, [piece async for piece in service.generate_text(request)]

    model, written = asyncio.run(pieces())
    [expected] = model.generate("The old", 40, Sampling(0.7, seed=5))
    assert "".join(written) == expected and len(written) == 2


def test_the_losses_start_after_the_first_word(service):
    text = "The old cat sees the house."
    measured = asyncio.run(service.measure_text(schemas.MeasureText(text=text)))
    assert measured.text == text.removeprefix("The") and len(measured.nll_bits) == len(measured.text)
