import asyncio

import pytest

from examples.serve import training
from examples.serve.limits import Refused
from examples.serve.training import TinyTraining


async def all_of(lines):
    return [line async for line in lines]


def test_a_run_is_trained_and_measured_with_progress(tmp_path, monkeypatch):
    commands = []

    async def run(example, *arguments):
        commands.append((example, arguments[0]))
        folder = tmp_path / example / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        for epoch in (1, 2):
            (folder / "metrics.csv").write_text(f"epoch,step,seconds\n{epoch},1,1\n")
            yield

    monkeypatch.setattr(training, "_run", run)
    lines = asyncio.run(all_of(TinyTraining(tmp_path).train("dcgan")))
    assert lines[:2] == [f"Training: epoch {epoch} of 16 finished." for epoch in (1, 2)]
    assert commands == [("dcgan", "train"), ("dcgan", "evaluate")]


def test_one_training_at_a_time(tmp_path, monkeypatch):
    async def run(example, *arguments):
        yield
        await asyncio.Event().wait()

    monkeypatch.setattr(training, "_run", run)

    async def main():
        trainings = TinyTraining(tmp_path)
        first = trainings.train("dcgan")
        await anext(first)
        with pytest.raises(Refused, match="Another example"):
            await anext(trainings.train("text_generation"))
        await first.aclose()

    asyncio.run(main())


def test_the_next_training_begins_once_the_process_of_the_last_has_ended(tmp_path, monkeypatch):
    ended = []

    async def run(example, *arguments):
        try:
            yield
        finally:
            await asyncio.sleep(0)
            ended.append(example)

    monkeypatch.setattr(training, "_run", run)

    async def main():
        trainings = TinyTraining(tmp_path)
        first = trainings.train("dcgan")
        await anext(first)
        await first.aclose()
        return [*ended], trainings._lock.locked()

    assert asyncio.run(main()) == (["dcgan"], False)


def test_a_command_that_fails_is_told():
    with pytest.raises(Refused, match="the server's log says why"):
        asyncio.run(all_of(training._run("text_generation", "no-such-command")))


def test_a_caller_that_leaves_ends_the_process(tmp_path, monkeypatch):
    processes = []
    start = asyncio.create_subprocess_exec

    async def remember(*arguments, **options):
        processes.append(await start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)

    async def main():
        lines = training._run("text_generation", "train", "--preset", "tiny", "--run-dir", str(tmp_path / "run"))
        await anext(lines)
        await lines.aclose()

    asyncio.run(main())
    assert processes[0].returncode is not None
