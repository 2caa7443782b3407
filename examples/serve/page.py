"""The page: a tab an example, in Gradio, mounted in the application of the API."""

from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from examples.serve.limits import MAX_UPLOAD
from examples.serve.service import Service
from examples.serve.tabs import captions, curves, images, text, translation, vectors
from examples.serve.tabs.parts import Page
from examples.serve.training import TinyTraining

_TABS = {
    "Text": text,
    "Images": images,
    "Translation": translation,
    "Captions": captions,
    "Word vectors": vectors,
    "Learning curves": curves,
}
_KEPT_SECONDS = 600  # of an uploaded photo
_INTRODUCTION = """# Eager examples
Trained models to play with. The same is there for programs: [the API and its description](docs).
"""


def mount_page(app: FastAPI, service: Service) -> FastAPI:
    """Return the application with the page at /."""
    return gr.mount_gradio_app(
        app,
        _build(service),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        theme=_theme(),
        css_paths=Path(__file__).with_name("page.css"),
    )


def _theme() -> gr.themes.Base:
    """Return a theme with the fonts of the system, and with the contrast that WCAG 2 AA asks for."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    colours = {
        "button_primary_background_fill": "#9a3412",
        "button_primary_background_fill_hover": "#7c2d12",
        "body_text_color_subdued": "#4b5563",
    }
    dark = {"body_text_color_subdued_dark": "#d1d5db"}
    dark |= {f"{name}_dark": colour for name, colour in colours.items() if name.startswith("button")}
    return gr.themes.Base(primary_hue="orange", **fonts).set(**colours, **dark)


def _build(service: Service) -> gr.Blocks:
    training = TinyTraining(service.registry.folder)
    blocks = gr.Blocks(title="Eager examples", analytics_enabled=False, delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS))
    with blocks:
        gr.Markdown(_INTRODUCTION)
        for title, tab in _TABS.items():
            with gr.Tab(title):
                tab.build(Page(blocks, service, training))
    return blocks.queue(max_size=64, default_concurrency_limit=8, api_open=False)
