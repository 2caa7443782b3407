"""Images: a grid from a seed, the way from one image to another, and arithmetic of latents."""

import gradio as gr
import numpy as np

from common.app.intervals import MAX_SEED
from examples.serve import widgets
from examples.serve.service import Service
from examples.serve.tabs.parts import PRIVATE, Page, answer

COUNT = 16


def build(page: Page) -> None:
    """Add the components."""
    service = page.service
    run = page.run_menu("dcgan")
    seed = gr.Number(1, label="Seed of sixteen images", precision=0, minimum=0, maximum=MAX_SEED)
    with gr.Row():
        show = gr.Button("Generate", variant="primary")
        another = gr.Button("Another sixteen")
    grid = gr.HTML()
    gr.Markdown("## From one image to another\nThe images are numbered row by row, from 1 to 16.")
    with gr.Row():
        start = gr.Slider(1, COUNT, 1, step=1, label="From image")
        end = gr.Slider(1, COUNT, 2, step=1, label="To image")
    alpha = gr.Slider(0, 1, 0.5, step=0.02, label="How far")
    between = gr.HTML()
    gr.Markdown("## Arithmetic of latents: image A − image B + image C")
    with gr.Row():
        a, b, c = (gr.Slider(1, COUNT, number, step=1, label=name) for number, name in enumerate("ABC", start=1))
    calculate = gr.Button("Calculate")
    result = gr.HTML()

    async def sheet_of(run, seed) -> str:
        latents = await service.latents(run, int(seed or 0), COUNT)
        return await _picture(service, run, latents, f"Sixteen images of seed {int(seed or 0)}")

    async def interpolate(run, seed, start, end, alpha) -> str:
        latents = await service.latents(run, int(seed or 0), COUNT)
        from examples.dcgan.demo import spherical_interpolation

        z0, z1 = (latents[int(number) - 1 : int(number)] for number in (start, end))
        z = spherical_interpolation(z0, z1, alpha).numpy()
        alt = f"Image {start:g}, the image {alpha:.0%} of the way, image {end:g}"
        return await _picture(service, run, np.concatenate([z0, z, z1]), alt, columns=3)

    async def combine(run, seed, *numbers) -> str:
        latents = await service.latents(run, int(seed or 0), COUNT)
        a, b, c = (latents[int(number) - 1] for number in numbers)
        z = a - b + c
        z *= np.linalg.norm(a) / max(float(np.linalg.norm(z)), 1e-9)  # as long as those of the training
        alt = "Images A, B and C, and the image of A - B + C"
        return await _picture(service, run, np.stack([a, b, c, z]), alt, columns=4)

    def next_seed(seed) -> int:
        return (int(seed or 0) + 1) % MAX_SEED

    show.click(answer(sheet_of), [run, seed], grid, **PRIVATE)
    another.click(next_seed, seed, seed, **PRIVATE).then(answer(sheet_of), [run, seed], grid, **PRIVATE)
    for slider in (start, end, alpha):
        slider.change(
            answer(interpolate), [run, seed, start, end, alpha], between, show_progress="hidden",
            trigger_mode="always_last", **PRIVATE,
        )  # fmt: skip
    calculate.click(answer(combine), [run, seed, a, b, c], result, **PRIVATE)


async def _picture(service: Service, run: str | None, latents: np.ndarray, alt: str, columns: int = 4) -> str:
    from common.data.images import grid

    pixels = await service.pixels(run, latents)
    scale = max(1, 84 // pixels.shape[1])
    return widgets.picture(grid(pixels, columns, scale), alt, alt)
