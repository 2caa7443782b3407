import pytest
import tensorflow as tf

from common.data.scripts import JOINING_RULES, join_words, space_letters, unspaced_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我喜欢猫。", "Chinese"),
        ("他说 TensorFlow 很好用，我也这么想。", "Chinese"),
        ("私は猫が好きです。", "Japanese"),
        ("ฉันรักแมวมาก", "Thai"),
        ("我 喜欢 猫 。 他 也 喜欢 猫 。", None),  # cut into words
        ("나는 고양이를 좋아합니다.", None),
        ("I like the 猫.", None),
        ("أحب القطط", None),
        ("...", None),
        ("", None),
    ],
)
def test_languages_without_spaces_are_found(text, language):
    assert unspaced_language([text]) == language


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("两只狗run在沙滩上", ["两", "只", "狗", "run", "在", "沙", "滩", "上"]),
        ("2匹のスキーヤー", ["2", "匹", "の", "ス", "キ", "ー", "ヤ", "ー"]),
        ("ผู้ชายกับสุนัข", ["ผู้", "ช", "า", "ย", "กั", "บ", "สุ", "นั", "ข"]),
        ("a dog sits", ["a", "dog", "sits"]),
        ("개가 달린다", ["개가", "달린다"]),
    ],
)
def test_letters_of_scripts_without_spaces_are_words(text, words):
    assert space_letters(text).split() == words and join_words(words) == text
    joined = tf.constant(" ".join(words))
    for pattern, replacement in JOINING_RULES:
        joined = tf.strings.regex_replace(joined, pattern, replacement)
    assert joined.numpy().decode() == text
