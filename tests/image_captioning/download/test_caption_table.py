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


@pytest.mark.parametrize("first", ["a.HEIC", "a"])
@pytest.mark.parametrize(
    "table",
    ["image,caption,split\n{},A dog,train\nb.jpg,A cat,test\n", "text;split;file\nA dog;train;{}\nA cat;test;b.jpg\n"],
)
def test_a_header_is_known_by_its_names_whatever_the_first_photo_is_called(table, first):
    assert read(table.format(first)) == {first: (["A dog"], "train"), "b.jpg": (["A cat"], "test")}


def test_a_first_photo_in_another_format_is_no_header():
    assert read("a.heic,A dog\nb.jpg,A cat\n") == {"a.heic": (["A dog"], None), "b.jpg": (["A cat"], None)}


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


def test_columns_of_texts_without_a_known_name_are_refused_if_there_are_several():
    rows = "a.jpg;Anna Klein;Ein Hund\nb.jpg;Bernd Groß;Eine Katze\n"
    with pytest.raises(UserError, match=r"among bild, fotograf, beschreibung; call it caption, and that .* image"):
        read("Bild;Fotograf;Beschreibung\n" + rows)
    assert read("Bild;Beschreibung;\na.jpg;Ein Hund;\n") == {"a.jpg": (["Ein Hund"], None)}
    assert read("Bild|caption1|caption2\n" + rows.replace(";", "|"))["a.jpg"] == (["Anna Klein", "Ein Hund"], None)


@pytest.mark.parametrize("delimiter", ["\t", "|", ","])
def test_a_column_of_splits_may_have_capitals_other_names_and_gaps(delimiter):
    rows = ["a.jpg", "A dog", "Train"], ["b.jpg", "A cat", ""], ["c.jpg", "A cow", "valid"], ["d.jpg", "A hen"]
    found = read("".join(delimiter.join(row) + "\n" for row in rows))
    assert found == {
        "a.jpg": (["A dog"], "Train"),
        "b.jpg": (["A cat"], ""),
        "c.jpg": (["A cow"], "valid"),
        "d.jpg": (["A hen"], ""),
    }


@pytest.mark.parametrize(
    "table",
    [
        "image_id,file_name,caption\n391895,a.jpg,A dog\n",
        "image,caption_id,caption\na.jpg,a.jpg#0,A dog\n",
        "caption_id,image,caption\na.jpg#0,a.jpg,A dog\n",
        "url,file_name,caption_text\nhttp://x/1.jpg,a.jpg,A dog\n",
        "caption_id,caption 1,captions,name\n7x,A dog,,a.jpg\n",
    ],
)
def test_columns_of_numbers_and_names_beside_photo_and_caption_are_left_out(table):
    assert read(table) == {"a.jpg": (["A dog"], None)}


def test_a_name_with_a_comma_does_not_make_a_table_with_tabs_one_with_commas():
    assert read("Paris, Texas.jpg\tA desert\n") == {"Paris, Texas.jpg": (["A desert"], None)}


@pytest.mark.parametrize("delimiter", ["\t", "|"])
@pytest.mark.parametrize("header", [[], ["image", "caption"]])
def test_quotes_count_if_all_cells_have_them(delimiter, header):
    rows = [*([header] if header else []), ["a.jpg", 'A ""big"" dog'], ["b.jpg", f"A{delimiter}cat"]]
    table = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    assert read(table) == {"a.jpg": (['A "big" dog'], None), "b.jpg": ([f"A{delimiter}cat"], None)}
    assert read(f'a.jpg{delimiter}"Run" says the dog\n') == {"a.jpg": (['"Run" says the dog'], None)}


def test_a_table_of_delimiters_alone_is_empty():
    with pytest.raises(UserError, match=r"list\.csv: empty"):
        read(",\n,\n")
