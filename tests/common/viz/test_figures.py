import ast
import itertools

import matplotlib
import numpy as np
import pytest
from PIL import Image

from common.viz import figures
from tools.notebooks import ROOT


def test_a_learning_curve_is_drawn_with_and_without_validation(tmp_path):
    rows = [{"epoch": epoch, "loss": 3 / epoch, "val_loss": 4 / epoch} for epoch in (1, 2, 3)]
    figures.learning_curve(rows, tmp_path / "both.png", "nats", 4.2)
    figures.learning_curve([{"epoch": 1, "loss": 2.0}], tmp_path / "one.png", "nats", 4.2)
    for name in ("both.png", "one.png"):
        pixels = np.asarray(Image.open(tmp_path / name).convert("L"))
        assert pixels.shape == (480, 840) and (pixels < 128).any()


def draw_all(folder):
    rows = [{"epoch": epoch, "loss": 3 / epoch, "val_loss": 4 / epoch} for epoch in (1, 2)]
    figures.learning_curve(rows, folder / "curve.png", "nats", 4.2)
    compared = figures.compare_curves({"one": [(1, 2.0), (2, 1.0)]}, "nats")
    map_ = figures.attention_map(np.eye(2), ["a", "b"], ["c", "d"], title="e")
    return (folder / "curve.png").read_bytes(), compared.tobytes(), map_.tobytes()


def test_a_style_of_the_user_changes_no_figure(tmp_path):
    without = draw_all(tmp_path)
    style = {"text.usetex": True, "savefig.dpi": 30, "figure.facecolor": "black", "font.size": 30, "axes.grid": True}
    with matplotlib.rc_context(style):
        assert draw_all(tmp_path) == without
        assert matplotlib.rcParams["font.size"] == 30  # the user's own figures keep it


@pytest.mark.parametrize("package", ["common", "examples", "benchmarks", "tools"])
def test_every_function_that_makes_a_figure_has_the_default_style(package):
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and "Figure(" in ast.unparse(node.body):
                decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
                assert "figure_style" in decorators, f"{path}: {node.name}"


def test_the_curve_of_one_epoch_has_one_tick(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: drawn.append(figure))
    figures.learning_curve([{"epoch": 1, "loss": 2.0}], tmp_path / "one.png", "nats", 4.2)
    [axes] = drawn[0].axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_the_legend_names_the_best_epoch_and_the_baseline(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: drawn.append(figure))
    rows = [
        {"epoch": epoch, "loss": 1 / epoch, "val_loss": loss} for epoch, loss in ((1.0, 2), (2.0, 1.25), (3.0, 1.5))
    ]
    figures.learning_curve(rows, tmp_path / "three.png", "nats", 9.0)
    labels = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert labels == ["training", "validation (best 1.250 in epoch 2)", "uniform guess (9.00)"]
    curves = [list(zip(*line.get_data(), strict=True)) for line in drawn[0].axes[0].lines[:3]]
    training, validation = ([(row["epoch"], row[name]) for row in rows] for name in ("loss", "val_loss"))
    assert curves == [training, validation, [(2, 1.25)]]  # the last is the circle around the best


def test_text_frames_have_one_size_and_stay_inside():
    texts = [("title", "a"), ("title", "many words\t" * 500 + "x" * 500 + "\n\n")]
    short, long = figures.text_frames(texts, prompt_length=20)
    assert short.size == long.size
    border = np.asarray(long.convert("L"))[:, -20:]
    assert (border == 255).all()


def test_text_from_right_to_left_begins_at_the_right_margin():
    [frame] = figures.text_frames([("", "القطة ترى البيت")])
    columns = np.nonzero((np.asarray(frame.convert("L")) < 128).any(axis=0))[0]
    assert frame.width - 30 < columns.max() < frame.width - 20 and columns.min() > frame.width / 2


def test_a_line_of_wide_letters_has_fewer_of_them(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures.Typesetter, "draw", lambda self, draw, corner, text, *_, **__: drawn.append(text))
    figures.text_frames([("", "m" * 100), ("", "猫" * 100)])
    assert [*map(len, filter(None, drawn))] == [64, 36, 32, 32, 32, 4]


def test_the_prompt_is_drawn_in_another_colour_also_in_a_gif(tmp_path):
    def colours(prompt_length):
        figures.save_gif(figures.text_frames([("", "mmmm mmmm")], prompt_length), tmp_path / "x.gif")
        return {colour for _, colour in Image.open(tmp_path / "x.gif").convert("RGB").getcolors(10**6)}

    blue, ink = (0x25, 0x63, 0xEB), (0x1F, 0x24, 0x30)
    assert blue not in colours(0) and ink not in colours(9)
    assert {blue, ink} <= colours(4)


@pytest.mark.parametrize("text", ["mm nn " * 40, "mm nn\nmm\n\nnn mm\n", "\t" + "m" * 200 + "\n" + "n" * 99], ids=repr)
def test_the_colour_of_the_prompt_ends_with_the_prompt(text, monkeypatch):
    drawn = {}

    def note(setter, draw, corner, letters, fill, anchor="la"):
        drawn[fill] = drawn.get(fill, "") + letters

    monkeypatch.setattr(figures.Typesetter, "draw", note)
    for prompt_length in (1, len(text) // 2, len(text) - 1):
        drawn.clear()
        figures.text_frames([("title", text)], prompt_length)
        end = len(text[:prompt_length].expandtabs(4))
        prompt, rest = (part.replace("\n", "") for part in (text.expandtabs(4)[:end], text.expandtabs(4)[end:]))
        assert (drawn[figures.SECOND], drawn[figures.INK]) == (prompt, rest)


def test_a_gif_keeps_the_order_and_holds_the_last_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), (shade, shade, shade)) for shade in (0, 100, 200)]
    figures.save_gif(frames, tmp_path / "x.gif", frame_ms=300, last_ms=2000)
    gif = Image.open(tmp_path / "x.gif")
    seen = []
    for number in range(gif.n_frames):
        gif.seek(number)
        seen.append((gif.convert("L").getpixel((0, 0)), gif.info["duration"]))
    assert seen == [(0, 300), (100, 300), (200, 2000)] and gif.info["loop"] == 0


def test_a_title_stands_above_the_picture_whatever_their_widths():
    narrow = figures.titled(Image.new("RGB", (20, 30), "blue"), "a title that is wider than that")
    wide = figures.titled(Image.new("L", (900, 30)), "short")
    assert narrow.width > 200 and narrow.height == wide.height > 30 and wide.width == 900
    assert narrow.getpixel((narrow.width // 2, narrow.height - 1)) == (0, 0, 255)


@pytest.mark.parametrize("count", [1, 2, 12, 40])
def test_an_attention_map_has_a_label_at_the_middle_of_each_row_and_column(tmp_path, monkeypatch, count):
    drawn = []
    monkeypatch.setattr(figures, "_render", lambda figure: drawn.append(figure) or ((1, 1), b"    "))
    labels = [f"pálabra{number}" for number in range(count)]
    figures.attention_map(np.eye(count), labels, labels[::-1], "title")
    [axes] = drawn[0].axes
    drawn[0].draw_without_rendering()
    for axis, expected in ((axes.xaxis, labels[::-1]), (axes.yaxis, labels)):
        ticks = axis.get_major_ticks()
        assert [tick.label1.get_text() for tick in ticks] == expected
        assert [tick.get_loc() for tick in ticks] == list(range(count))
    boxes = [tick.label2.get_window_extent() for tick in axes.xaxis.get_major_ticks()]  # above the map
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))  # none overlaps the next
    assert all(drawn[0].bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))  # none is cut


def test_a_weight_has_its_shade_in_every_attention_map_and_stands_at_its_row_and_column(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_render", lambda figure: drawn.append(figure) or ((1, 1), b"    "))
    weights = np.array([[0.5, 0.4], [0.3, 0.2]])
    figures.attention_map(weights, ["a", "b"], ["c", "d"])
    [image] = drawn[0].axes[0].images
    assert image.get_clim() == (0, 1)  # else the nearly equal weights of the first epoch would look sharp
    assert (image.get_array() == weights).all()


def test_attention_maps_of_the_same_labels_have_one_size_and_show_any_character():
    labels = ["$5", "$6", "日本", "🙂", "\\frac", "_x^2"]
    one, other = (figures.attention_map(np.eye(6), labels, labels, title) for title in ("", "a long title " * 20))
    assert one.size == other.size and one.mode == "RGB"
    last_cell = np.asarray(one)[-30, -30]  # the diagonal ends in the corner
    assert last_cell.sum() < 250


@pytest.mark.parametrize(("count", "letters"), [(2, 1_000), (200, 3)])
def test_long_labels_are_shortened_and_no_side_of_an_attention_map_is_too_long(count, letters):
    labels = ["w" * letters] * count
    picture = figures.attention_map(np.eye(count), labels, labels)
    assert max(picture.size) <= (1_000 if count == 2 else 4_000)


def test_an_attention_map_needs_a_label_for_each_row_and_column():
    with pytest.raises(ValueError, match=r"expected weights \(2, 3\), got \(3, 2\)"):
        figures.attention_map(np.zeros((3, 2)), ["a", "b"], ["c", "d", "e"])


def test_the_legend_names_every_run(monkeypatch):
    drawn = []
    render = figures._render
    monkeypatch.setattr(figures, "_render", lambda figure: drawn.append(figure) or render(figure))
    figures.compare_curves({"_old": [(1, 3.0), (2, 1.0)], "b": [(1, 1.0)]}, "nats")
    assert [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()] == ["_old", "b"]


def test_the_curves_of_several_runs_are_drawn_in_different_colours():
    curves = {"tiny": [(1, 3.0), (2, 1.0)], "cost $1$": [(1, 1.0), (2, 3.0)]}
    one, both = (figures.compare_curves(dict(itertools.islice(curves.items(), count)), "nats") for count in (1, 2))
    assert one.size == both.size == (770, 440)
    assert len(set(both.getdata())) > len(set(one.getdata()))
