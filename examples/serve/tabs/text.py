"""Text: continue a prompt, piece by piece; see the loss of any text."""

from collections.abc import AsyncIterator

import gradio as gr

from common.app.intervals import MAX_SEED
from examples.serve import schemas, widgets
from examples.serve.limits import MAX_TEXT
from examples.serve.tabs.parts import PRIVATE, Page, answer


def build(page: Page) -> None:
    """Add the components."""
    service = page.service
    run = page.run_menu("text_generation")
    prompt = gr.Textbox(label="Prompt", value="The ", lines=2, max_length=MAX_TEXT)
    with gr.Accordion("How the next character, word or subword is chosen", open=False):
        temperature = gr.Slider(0, 2, 0.8, step=0.05, label="Temperature: 0 always the likeliest, above 1 wilder")
        top_k = gr.Slider(0, 50, 0, step=1, label="Top-k: only the k likeliest; 0 for all")
        top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top-p: only the likeliest with this total probability")
        length = gr.Slider(10, MAX_TEXT, 300, step=10, label="Length in characters, words or subwords")
        seed = gr.Number(1, label="Seed", precision=0, minimum=0, maximum=MAX_SEED)
    shaded = gr.Checkbox(label="Shade each character by the model's loss")
    with gr.Row():
        write = gr.Button("Continue the prompt", variant="primary")
        measure = gr.Button("Show the loss of the prompt")
        stop = gr.Button("Stop")
    output = gr.HTML()

    async def generate(run, prompt, temperature, top_k, top_p, length, seed, shaded) -> AsyncIterator[str]:
        request = schemas.GenerateText(
            run=run, prompt=prompt, temperature=temperature, top_k=top_k, top_p=top_p, length=length, seed=seed
        )
        text = ""
        async for piece in service.generate_text(request):
            text += piece
            yield widgets.text(request.prompt, text)
        if shaded:
            yield await show_losses(run, (request.prompt + text)[:MAX_TEXT])

    async def show_losses(run, text) -> str:
        request = schemas.MeasureText(run=run, text=text)
        return widgets.losses(await service.measure_text(request), request.text)

    inputs = [run, prompt, temperature, top_k, top_p, length, seed, shaded]
    writing = write.click(answer(generate), inputs, output, show_progress="hidden", **PRIVATE)
    measure.click(answer(show_losses), [run, prompt], output, **PRIVATE)
    stop.click(None, cancels=[writing], **PRIVATE)
