from itertools import pairwise

import pytest
import tensorflow as tf
from PIL import Image

from common.errors import UserError
from common.nn.sampling import uniform_noise
from examples.text_generation.demo import Sampling, TextGenerator


@pytest.fixture(scope="module")
def generator(trained):
    return TextGenerator.load(trained)


def test_the_same_seed_writes_the_same_text_and_another_seed_another(generator):
    [one], [same], [other] = (generator.generate("MIRA:", 200, Sampling(seed=seed)) for seed in (7, 7, 8))
    assert one == same != other and len(one) == 200


def test_a_text_made_in_pieces_is_the_one_made_at_once(generator):
    streamed = "".join(chunk for [chunk] in generator.stream("MIRA:", 70, Sampling(), chunk=32))
    assert [streamed] == generator.generate("MIRA:", 70, Sampling())


def test_a_prompt_is_normalised_like_all_texts(generator):
    written, expected = (generator.prefill(prompt).logits for prompt in ("MIRA:\r\nO", "MIRA:\nO"))
    tf.debugging.assert_equal(written, expected)


def test_temperature_acts(generator):
    [cold], [again], [hot] = (
        generator.generate("MIRA:", 300, Sampling(temperature=temperature, seed=seed))
        for temperature, seed in ((0.0, 1), (0.0, 2), (2.0, 1))
    )
    assert cold == again  # the likeliest, whatever the seed
    assert len(set(cold)) < len(set(hot))


def test_top_k_of_one_is_the_likeliest(generator):
    greedy = generator.generate("MIRA:", 50, Sampling(temperature=0.0))
    assert generator.generate("MIRA:", 50, Sampling(temperature=1.5, top_k=1)) == greedy
    assert generator.generate("MIRA:", 50, Sampling(temperature=1.5, top_p=0.001)) == greedy


def test_samples_differ_from_each_other(generator):
    assert len(set(generator.generate("MIRA:", 60, Sampling(), samples=3))) == 3


def test_the_prompt_decides(generator):
    assert generator.generate("MIRA:", 60, Sampling()) != generator.generate("The king", 60, Sampling())


def test_what_the_model_never_saw_is_refused(generator):
    with pytest.raises(UserError, match="not in the vocabulary of the model: 'ß' '🙂'"):
        generator.generate("Straße 🙂", 10, Sampling())


def test_every_epoch_has_its_sample_and_its_frame(trained):
    samples = sorted(trained.samples.iterdir())
    assert [path.name for path in samples] == [f"epoch_{number:04d}.txt" for number in (0, 1, 2, 3)]
    texts = [path.read_text() for path in samples]
    assert all(text.startswith("MIRA:") and len(text) == 66 for text in texts)
    assert all(before != after for before, after in pairwise(texts))
    assert Image.open(trained.figures / "training.gif").n_frames == 4


def test_texts_written_together_are_those_written_alone(generator):
    prompts, sampling = ("MIRA:", "The ", "A"), Sampling(temperature=0.9, top_k=5)
    texts = [generator.prefill(prompt) for prompt in prompts]
    uniforms = tf.concat([uniform_noise(seed, 1, 40) for seed in range(3)], axis=1)
    first = generator.generate_batch(texts, uniforms[:25], sampling)
    second = generator.generate_batch([text for _, text in first], uniforms[25:], sampling)
    for seed, prompt in enumerate(prompts):
        [alone] = generator.generate(prompt, 40, Sampling(temperature=0.9, top_k=5, seed=seed))
        assert "".join(first[seed][0] + second[seed][0]) == alone


def test_the_compiled_logits_are_those_of_the_model(generator):
    ids = generator.vocabulary.encode("MIRA:\nO my")[None]
    expected, _ = generator.model(tf.constant(ids), generator.model.initial_state(1))
    tf.debugging.assert_near(generator.logits(ids), expected, atol=1e-5)
