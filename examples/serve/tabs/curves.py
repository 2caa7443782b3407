"""Learning curves of all runs side by side, and what differs between their settings."""

import asyncio

import gradio as gr

from examples.serve import widgets
from examples.serve.curves import draw_curves, setting_differences
from examples.serve.registry import EXAMPLES
from examples.serve.tabs.parts import PRIVATE, Page, answer


def build(page: Page) -> None:
    """Add the components."""
    registry = page.service.registry
    show = gr.Button("Draw the curves of all runs", variant="primary")
    output = gr.HTML()

    def compare() -> str:
        parts = []
        for example, title in EXAMPLES.items():
            runs = registry.runs(example)
            if drawn := draw_curves(runs):
                figure, unit = drawn
                parts.append(widgets.picture(figure, f"{title}: {unit} after each epoch of {len(runs)} runs"))
            if len(runs) > 1:
                names, rows = setting_differences(runs)
                parts.append(widgets.table(rows, ["run", *names], f"{title}: settings that differ"))
        return "".join(parts) or widgets.message("No finished run yet.")

    async def curves() -> str:
        return await asyncio.to_thread(compare)

    show.click(answer(curves), None, output, **PRIVATE)
