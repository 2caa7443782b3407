"""Word vectors: the nearest neighbours of a word, and a map of the embeddings."""

import gradio as gr

from examples.serve import widgets
from examples.serve.tabs.parts import PRIVATE, Page, answer

_VOCABULARIES = [
    ("translation: source words", "nmt_attention source"),
    ("translation: target words", "nmt_attention target"),
    ("captions: words", "image_captioning words"),
    ("text: characters, or words or subwords", "text_generation characters"),
]


def build(page: Page) -> None:
    """Add the components."""
    vocabulary = gr.Dropdown(label="Vocabulary", choices=_VOCABULARIES, value=_VOCABULARIES[0][1])
    run = gr.Dropdown(label="Run", interactive=True, choices=[], elem_id="vectors-run")
    symbol = gr.Textbox(label="Word or character", value="casa", max_length=100)
    find = gr.Button("Show its neighbours and the map", variant="primary")
    output = gr.HTML()

    async def runs_of(vocabulary):
        choices = page.run_choices(vocabulary.split()[0])
        return gr.Dropdown(choices=choices, value=choices[0][1] if choices else None)

    async def neighbours(vocabulary, run, symbol) -> str:
        example, side = vocabulary.split()
        table = await page.service.embeddings(example, run, side)
        near = table.neighbours(symbol)
        rows = [(widgets.visible(name), f"{similarity:.3f}") for name, similarity in near]
        listing = widgets.table(rows, (f"Nearest to {widgets.visible(symbol)}", "Cosine similarity"))
        return listing + widgets.embeddings_map(table, [symbol, *(name for name, _ in near)])

    page.blocks.load(runs_of, vocabulary, run, **PRIVATE)
    vocabulary.change(runs_of, vocabulary, run, **PRIVATE)
    gr.on([find.click, symbol.submit], answer(neighbours), [vocabulary, run, symbol], output, **PRIVATE)
