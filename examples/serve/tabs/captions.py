"""Captions: a photo, its captions, and where the model attended at each word."""

import asyncio
import secrets
from pathlib import Path

import gradio as gr

from common.app.intervals import MAX_SEED
from common.io.files import read_plain
from examples.image_captioning.download.toy_scenes import make_scenes
from examples.serve import widgets
from examples.serve.limits import MAX_BEAM, MAX_UPLOAD, Refused
from examples.serve.tabs.parts import PRIVATE, Page, answer


def build(page: Page) -> None:
    """Add the components."""
    service = page.service
    run = page.run_menu("image_captioning")
    photo = gr.File(label="Photo: drop a file, choose one, or take one with a phone's camera", file_types=["image"])
    beam = gr.Slider(1, MAX_BEAM, 3, step=1, label="Beam: captions that are compared; all are listed")
    with gr.Row():
        caption = gr.Button("Caption", variant="primary")
        example = gr.Button("Caption a drawn scene, for a run of the tiny preset")
    output = gr.HTML()

    async def caption_photo(run, path, beam) -> str:
        if not path:
            return widgets.message("Choose a photo first.", is_error=True)
        if not Path(path).is_file():  # deleted, as all uploads are after a while
            raise Refused("The photo is no longer here; choose it again.")
        content = read_plain(Path(path), MAX_UPLOAD + 1)
        image, preview = await service.read_photo(content, Path(path).name, run)
        return await _show(run, image, preview, beam)

    async def caption_scene(run, beam) -> str:
        _, scene = make_scenes(2, secrets.randbelow(MAX_SEED), held_out=True)  # the first has a single shape
        drawn = scene.draw()
        return await _show(run, drawn, drawn, beam)

    async def _show(run, image, preview, beam) -> str:
        found = (await service.caption(image, run, beam=int(beam), n_best=int(beam))).captions
        if not found[0].words:
            return widgets.message("The model found no words for this photo.")
        return await asyncio.to_thread(widgets.caption, preview, found)

    gr.on([caption.click, photo.upload], answer(caption_photo), [run, photo, beam], output, **PRIVATE)
    example.click(answer(caption_scene), [run, beam], output, **PRIVATE)
