import pytest

from common.data.skipped import SkippedExamples, files_of_kind
from common.errors import UserError


def test_what_is_left_out_is_counted_and_three_are_named(capsys):
    SkippedExamples([f"{number}.jpg: empty" for number in range(5)]).report(100, "photos", 0.05)
    assert capsys.readouterr().err == (
        "left out: 5 of 100 photos cannot be used: 0.jpg: empty; 1.jpg: empty; 2.jpg: empty; and 2 more\n"
    )
    SkippedExamples().report(100, "photos", 0)
    assert capsys.readouterr().err == ""


def test_more_than_the_fraction_is_an_error_that_names_the_flag():
    with pytest.raises(UserError, match="2 of 39 photos .*a.jpg; b.jpg. More than 5.00% is .*--max-skipped"):
        SkippedExamples(["a.jpg", "b.jpg"]).report(39, "photos", 0.05)


def test_links_are_left_out_and_named(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.txt").symlink_to(tmp_path / "a.txt")
    assert files_of_kind(tmp_path, {".txt"}, "texts") == [tmp_path / "a.txt"]
    assert "because they are no files but links (1): b.txt" in capsys.readouterr().err
