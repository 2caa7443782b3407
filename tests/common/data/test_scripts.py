import pytest

from common.data.scripts import unspaced_language


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
