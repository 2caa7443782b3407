"""What all tabs share: the menu of runs, and handlers that answer with a sentence instead of failing."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import ValidationError

from examples.serve import schemas, widgets
from examples.serve.limits import Refused
from examples.serve.service import Service
from examples.serve.training import TinyTraining

PRIVATE = {"api_visibility": "private"}  # the API is that of api.py


@dataclass(frozen=True)
class Page:
    """What the tabs are built with."""

    blocks: gr.Blocks
    service: Service
    training: TinyTraining

    def run_choices(self, example: str) -> list[tuple[str, str]]:
        """Return name and id of each run of an example, for a menu."""
        return [(f"{run.name} ({run.created})", run.id) for run in self.service.registry.runs(example)]

    def run_menu(self, example: str) -> gr.Dropdown:
        """Return a menu of the runs of an example, with a line on the chosen one; without runs, a button trains one."""
        registry = self.service.registry
        menu = gr.Dropdown(label="Run", choices=self.run_choices(example), interactive=True)
        about = gr.HTML(elem_classes="about")
        train = gr.Button(f"Train the tiny example (about a minute): {example}", visible=False)

        async def show() -> tuple[Any, Any]:
            registry.scan()
            choices = self.run_choices(example)
            value = choices[0][1] if choices else None
            return gr.Dropdown(choices=choices, value=value), gr.Button(visible=not choices)

        async def describe(run: str | None) -> str:
            found = [each for each in registry.runs(example) if each.id == run]
            return widgets.message(found[0].summary if found else "No finished run of this example yet.")

        async def train_tiny() -> AsyncIterator[str]:
            async with aclosing(self.training.train(example)) as lines:
                async for line in lines:
                    yield widgets.message(line)

        self.blocks.load(show, None, [menu, train], **PRIVATE).then(describe, menu, about, **PRIVATE)
        menu.change(describe, menu, about, **PRIVATE)
        train.click(answer(train_tiny), None, about, **PRIVATE).then(show, None, [menu, train], **PRIVATE)
        return menu


def answer(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler, asynchronous or a generator, of one HTML output that shows what is refused as a sentence."""

    @functools.wraps(handler)
    async def stream(*values: Any) -> AsyncIterator[str]:
        try:
            if inspect.isasyncgenfunction(handler):
                async with aclosing(handler(*values)) as pieces:  # what a closed page began ends with it
                    async for piece in pieces:
                        yield piece
            else:
                yield await handler(*values)
        except (Refused, ValidationError) as error:
            refusal = error if isinstance(error, Refused) else schemas.refusal(error.errors()[0])
            yield widgets.message(refusal.detail, is_error=True)

    return stream
