from pathlib import Path

import pytest

from common.errors import UserError
from examples.image_captioning.download.caption_table import read_table


def read(text):
    return {entry["image"]: (entry["captions"], entry["split"]) for entry in read_table(text, Path("list.csv"))}


@pytest.mark.parametrize(
    "table",
    [
        'image,caption,split\na.jpg,A dog, wet,train\na.jpg,"A dog, again",train\nb.jpg,A cat,val\n',
        'a.jpg,A dog, wet,train\na.jpg,"A dog, again",train\nb.jpg,A cat,val\n',
        "split;file;text\ntrain;a.jpg;A dog, wet\ntrain;a.jpg;A dog, again\nval;b.jpg;A cat\n",
        "a.jpg\t0\tA dog, wet\ttrain\na.jpg\t1\tA dog, again\ttrain\nb.jpg\t0\tA cat\tval\n",
        "photo|caption_1|caption_2|split\na.jpg|A dog, wet|A dog, again|train\nb.jpg|A cat||val\n",
        "id,image,wide,caption,split\n7,a.jpg,6,A dog, wet,train\n8,a.jpg,4,A dog, again,train\n9,b.jpg,3,A cat,val\n",
    ],
)
def test_a_split_numbers_and_several_captions_are_recognised(table):
    assert read(table) == {"a.jpg": (["A dog, wet", "A dog, again"], "train"), "b.jpg": (["A cat"], "val")}


def test_only_a_column_of_numbers_is_no_caption():
    assert read("a.jpg,2, 3 or 4 dogs\nb.jpg,A cat\n") == {
        "a.jpg": (["2, 3 or 4 dogs"], None),
        "b.jpg": (["A cat"], None),
    }
    assert read("a.jpg,0,Dogs, wet\na.jpg,1,Two dogs\n") == {"a.jpg": (["Dogs, wet", "Two dogs"], None)}


def test_captions_with_a_line_end_inside_quotes_are_whole():
    assert read('a.jpg,"A dog\nand a cat"\n\nb.jpg,A cat\n') == {
        "a.jpg": (["A dog\nand a cat"], None),
        "b.jpg": (["A cat"], None),
    }


def test_a_table_without_captions_is_an_error():
    with pytest.raises(UserError, match="no column of captions among image, width; call it caption"):
        read("image,width\na.jpg,640\nb.jpg,480\n")
