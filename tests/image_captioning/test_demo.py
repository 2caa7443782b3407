import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.image_captioning.demo import PhotoCaptioner, find_photos
from examples.image_captioning.download.toy_scenes import make_scenes
from examples.image_captioning.vocabulary import END


@pytest.fixture(scope="module")
def captioner(trained):
    return PhotoCaptioner.load(trained)


@pytest.fixture(scope="module")
def pixels():
    return np.stack([np.asarray(scene.draw()) for scene in make_scenes(6, 9, held_out=True)])


def test_the_attention_told_is_the_attention_used(captioner, pixels):
    for one, picture in zip(captioner.caption(pixels, beam=3), pixels, strict=True):
        inputs = captioner.vocabulary.encode(["<start>", *one.words])[None, :-1]
        _, attention = captioner.model(picture[None], inputs)
        assert one.attention.shape == (len(one.words), 8, 8)
        np.testing.assert_allclose(one.attention.reshape(len(one.words), 64), attention[0], atol=1e-5)


def test_greedy_says_the_likeliest_word_each_time(captioner, pixels):
    for one, picture in zip(captioner.caption(pixels, beam=1), pixels, strict=True):
        ids = captioner.vocabulary.encode(["<start>", *one.words, "<end>"])[None]
        logits = captioner.model(picture[None], ids[:, :-1])[0].numpy()[0]
        logits[:, [0, 1, 3]] = -np.inf
        assert list(logits.argmax(axis=-1))[: len(one.words)] == list(ids[0, 1:-1])


def test_beam_search_finds_what_is_at_least_as_likely(captioner, pixels):
    for greedy, beam in zip(*(captioner.caption(pixels, beam=beam) for beam in (1, 3)), strict=True):
        assert beam.score >= greedy.score - 1e-5


def test_the_score_is_divided_by_the_length_to_the_penalty(captioner, pixels):
    for plain, divided in zip(*(captioner.caption(pixels, 1, penalty) for penalty in (0.0, 0.5)), strict=True):
        assert plain.score == pytest.approx(divided.score * (len(divided.words) + 1) ** 0.5, rel=1e-4)


def test_together_or_alone_the_captions_are_the_same(captioner, pixels):
    alone = [captioner.caption(picture[None])[0].text for picture in pixels]
    assert [one.text for one in captioner.caption(pixels)] == alone


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_pictures_of_any_mode_and_shape_are_described(captioner, tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.full((50, 30), 40_000, np.uint16)).save(path)
    else:
        Image.new("RGB", (30, 50), "red").convert(mode).save(path)
    image, described = captioner.caption_file(path)
    assert image.size == (30, 50) and image.mode == "RGB" and described.attention.shape[1:] == (8, 8)


def test_a_run_that_was_moved_says_the_same(trained, captioner, pixels, tmp_path):
    shutil.copytree(trained.path, tmp_path / "elsewhere")
    moved = PhotoCaptioner.load(RunDirectory(tmp_path / "elsewhere"))
    for one, other in zip(*(c.caption(pixels) for c in (captioner, moved)), strict=True):
        assert one.text == other.text and (one.attention == other.attention).all()


def test_folders_stand_for_the_pictures_in_them(album, capsys):
    (album / "b.heic").write_bytes(b"")
    assert len(find_photos([album])) == 12 and find_photos([album / "photo 1.png"]) == [album / "photo 1.png"]
    note = f"note: left out of {album} because they are no pictures (2): b.heic, captions.json\n"
    assert capsys.readouterr().err == note
    (album / "empty").mkdir()
    with pytest.raises(UserError, match="no picture"):
        find_photos([album / "empty"])


def test_the_hypotheses_begin_with_the_caption_and_fall_in_score(captioner, pixels):
    for best, beams in zip(captioner.caption(pixels), captioner.hypotheses(pixels), strict=True):
        assert beams[0].text == best.text and len({beam.text for beam in beams}) == 3
        assert [beam.score for beam in beams] == sorted((beam.score for beam in beams), reverse=True)


def test_a_given_caption_is_scored_as_the_search_scores_its_own(captioner, pixels):
    found = captioner.caption(pixels, beam=3)
    for picture, best in zip(pixels, found, strict=True):
        [scored] = captioner.score(picture[None], best.text)
        [worse] = captioner.score(picture[None], "left left left a a")
        assert scored.words == best.words and scored.score == pytest.approx(best.score, abs=2e-3)
        np.testing.assert_allclose(scored.attention, best.attention, atol=1e-4)
        assert worse.score < scored.score
    together = captioner.score(pixels, found[0].text)
    assert [one.score for one in together] == pytest.approx(
        [captioner.score(picture[None], found[0].text)[0].score for picture in pixels], abs=1e-4
    )
    with pytest.raises(UserError, match="expected a caption with a word, got '...'"):
        captioner.score(pixels, "...")


@pytest.fixture
def endless(captioner):
    """The captioner, which finds <end> so unlikely that it is never chosen."""
    bias = captioner.model.deep_output.logits.bias
    before = bias.numpy()
    bias.assign(np.where(np.arange(len(before)) == END, -1e6, before))
    yield captioner
    bias.assign(before)


def test_a_caption_without_end_has_as_many_words_as_one_with(endless, pixels):
    for caption in endless.caption(pixels):
        assert len(caption.words) == len(caption.attention) == endless.max_length


def test_it_captions_in_float32_whatever_the_precision_of_training(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    settings = tmp_path / "run" / "config.json"
    settings.write_text(settings.read_text().replace('"float32"', '"bfloat16"'))
    run = RunDirectory(tmp_path / "run")
    assert run.read_config().settings["precision"] == "bfloat16"
    assert PhotoCaptioner.load(run).model.embedding.compute_dtype == "float32"


def test_a_web_address_is_no_file(tmp_path):
    with pytest.raises(UserError, match="^https://example.org/a.jpg: a web address; download the picture"):
        find_photos([Path("https://example.org/a.jpg")])
