"""Translation: a sentence and its translations with the attention; the score of a given translation."""

import asyncio

import gradio as gr

from examples.serve import schemas, widgets
from examples.serve.limits import MAX_BEAM, MAX_SENTENCE
from examples.serve.tabs.parts import PRIVATE, Page, answer


def build(page: Page) -> None:
    """Add the components."""
    service = page.service
    run = page.run_menu("nmt_attention")
    sentence = gr.Textbox(label="Sentence", value="La mujer vieja pinta la casa roja.", max_length=MAX_SENTENCE)
    beam = gr.Slider(1, MAX_BEAM, 5, step=1, label="Beam: translations that are compared; all are listed")
    translate = gr.Button("Translate", variant="primary")
    output = gr.HTML()
    gr.Markdown("## Score a translation of yours")
    given = gr.Textbox(label="Translation", value="The old woman paints the red house.", max_length=MAX_SENTENCE)
    score = gr.Button("Score it")
    scored = gr.HTML()

    async def translations(run, sentence, beam) -> str:
        request = schemas.TranslateSentences(run=run, sentences=[sentence], beam=beam, n_best=beam)
        [found] = (await service.translate(request)).translations
        if not found or not found[0].tokens:
            return widgets.message("The model found no words for this sentence.")
        return await asyncio.to_thread(widgets.translation, found)

    async def measure(run, sentence, given) -> str:
        request = schemas.ScoreTranslation(run=run, source=sentence, translation=given)
        return await asyncio.to_thread(widgets.translation_score, await service.score(request))

    gr.on([translate.click, sentence.submit], answer(translations), [run, sentence, beam], output, **PRIVATE)
    gr.on([score.click, given.submit], answer(measure), [run, sentence, given], scored, **PRIVATE)
