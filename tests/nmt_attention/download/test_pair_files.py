import json

import pytest

from common.errors import UserError
from examples.nmt_attention.data import load_corpus, load_tables
from examples.nmt_attention.download.pair_files import Table, choose_columns

PAIRS = [(f"Der Hund {n} schläft, ja.", f'The "dog" {n} sleeps, yes.') for n in range(200)]
GERMAN, ENGLISH = ("".join(f"{pair[side]}\n" for pair in PAIRS) for side in range(2))
QUOTED = [[text.replace('"', '""') for text in pair] for pair in PAIRS]
BROKEN = [[text.replace(" ", "\n", 1) for text in pair] for pair in QUOTED]
JSONL = "".join(json.dumps({"de": de, "en": en}) + "\n" for de, en in PAIRS)
TATOEBA = "1276\tLet's try.\t2481\tIntentemos.\n1277\tI see.\t9999\tYa veo.\n1280\tGo on.\t3000\tSigue.\n"

FORMATS = {  # the files, the name of the data set, --columns
    "tsv": ({"p.tsv": "".join(f"{de}\t{en}\n" for de, en in PAIRS)}, "p.tsv", "1,2"),
    "tsv with a header": ({"p.tsv": "en\tde\n" + "".join(f"{en}\t{de}\n" for de, en in PAIRS)}, "p.tsv", "de,en"),
    "header and numbers": ({"p.tsv": "de\ten\n" + "".join(f"{de}\t{en}\n" for de, en in PAIRS)}, "p.tsv", "1,2"),
    "tsv with blank lines": ({"p.tsv": "\n".join(f"{de}\t{en}\n" for de, en in PAIRS) + "\n\n"}, "p.tsv", "1,2"),
    "tsv of Excel": ({"p.tsv": "German\tEnglish\n" + "".join(f'{de}\t"{en}"\n' for de, en in QUOTED)}, "p.tsv", "1,2"),
    "tsv of Excel with line ends": ({"p.tsv": "".join(f'"{de}"\t"{en}"\n' for de, en in BROKEN)}, "p.tsv", "1,2"),
    "tsv with all cells quoted": (
        {"p.tsv": '"de"\t"en"\n' + "".join(f'"{de}"\t"{en}"\n' for de, en in QUOTED)}, "p.tsv", "de,en"
    ),
    "csv with semicolons, and more commas in a cell": (
        {"p.csv": '"a, b, c, d";"e, f, g, h"\n' + "".join(f'"{de}";"{en}"\n' for de, en in QUOTED)}, "p.csv", "1,2"
    ),
    "csv with semicolons and as many commas": (
        {"p.csv": "".join(f"{de};{en}\n" for de, en in PAIRS)}, "p.csv", "1,2"
    ),
    "csv with semicolons and bare commas": (
        {"p.csv": "a, b, c, d;e, f, g, h\n" + "".join(f"{de};{en}\n" for de, en in PAIRS)}, "p.csv", "1,2"
    ),
    "csv": ({"p.csv": "".join(f'"{de}","{en}"\n' for de, en in QUOTED)}, "p.csv", "1,2"),
    "csv of Excel": ({"p.csv": "id;en;de\n" + "".join(f'1;"{en}";{de}\n' for de, en in QUOTED)}, "p.csv", "de,en"),
    "jsonl": ({"p.jsonl": JSONL}, "p.jsonl", "de,en"),
    "jsonl whose first object lacks one": ({"p.jsonl": '{"de": "Ja."}\n' + JSONL}, "p.jsonl", "de,en"),
    "jsonl by number": ({"p.jsonl": JSONL}, "p.jsonl", "1,2"),
    "Hugging Face": (
        {"p.json": json.dumps([{"id": "1", "translation": {"en": en, "de": de}} for de, en in PAIRS])},
        "p.json",
        "de,en",
    ),
    "parallel files": ({"a.de": GERMAN, "b.en": ENGLISH}, "a.de,b.en", "1,2"),
    "parallel files by name": ({"a.de": GERMAN, "b.en": ENGLISH}, "b.en,a.de", "de,en"),
    "folder": ({"train.de": GERMAN, "train.en": ENGLISH}, "", "de,en"),
}  # fmt: skip


def test_a_quotation_mark_that_is_not_closed_is_an_error_with_its_row(tmp_path):
    rows = [f"Hallo {n},Hello {n}" for n in range(1000)]
    rows[500] = '"' + rows[500]
    write(tmp_path, {"p.csv": "\n".join(rows)})
    with pytest.raises(UserError, match="p.csv: row 501: a quotation mark is not closed for 499 lines"):
        load_tables(str(tmp_path / "p.csv"))


def test_files_of_a_folder_that_are_no_part_are_counted(tmp_path, capsys):
    write(tmp_path, {"train.de": GERMAN, "train.en": ENGLISH, "newstest2014.de": GERMAN})
    load_tables(str(tmp_path))
    note = f"note: left out of {tmp_path} because they are no train, dev or test (1): newstest2014.de"
    assert note in capsys.readouterr().err


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_text(content)


@pytest.mark.parametrize("case", FORMATS)
def test_pairs_of_every_format_are_the_same(tmp_path, monkeypatch, case):
    files, name, columns = FORMATS[case]
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", files)
    monkeypatch.chdir(tmp_path / "data")
    corpus = load_corpus(name or str(tmp_path / "data"), tuple(columns.split(",")), held_out=0.1)
    pairs = {*corpus.train, *corpus.validation, *corpus.test}
    assert pairs - {("a, b, c, d", "e, f, g, h")} == {*PAIRS}


@pytest.mark.parametrize("dev", ["dev", "valid", "validation", "val"])
def test_parts_that_are_given_are_used_as_they_are(tmp_path, dev):
    for part, lines in (("train", slice(0, 150)), (dev, slice(150, 170)), ("test", slice(170, 200))):
        for suffix, text in (("de", GERMAN), ("en", ENGLISH)):
            (tmp_path / f"{part}.{suffix}").write_text("\n".join(text.split("\n")[lines]))
    corpus = load_corpus(str(tmp_path), ("de", "en"))
    assert (corpus.train, corpus.validation, corpus.test) == (PAIRS[:150], PAIRS[150:170], PAIRS[170:])


def test_a_part_that_is_not_given_is_split_off(tmp_path):
    for part, lines in (("train", slice(0, 150)), ("dev", slice(150, 200))):
        (tmp_path / f"{part}.tsv").write_text("".join(f"{de}\t{en}\n" for de, en in PAIRS[lines]))
    corpus = load_corpus(str(tmp_path), held_out=0.1)
    assert corpus.validation == PAIRS[150:] and corpus.test and not {*corpus.test} & {*corpus.train}
    assert {*corpus.test, *corpus.train} == {*PAIRS[:150]}


BAD = {  # the files, the name of the data set, --columns, the message
    "a column of another name": ({"p.tsv": "de\ten\nx\ty\n"}, "p.tsv", "de,fr", "no column fr; its columns are de, en"),
    "files of two lengths": ({"a.de": "x\ny\n", "b.en": "x\n"}, "a.de,b.en", "1,2", "a.de has 2 lines and b.en 1"),
    "a folder without training": ({"dev.de": "x", "dev.en": "y"}, ".", "1,2", "expected train.XX and train.YY"),
    "a folder of other names": ({"a.de": "x", "b.en": "y"}, ".", "1,2", "got none named train, dev or test"),
    "three languages": ({f"train.{name}": "x" for name in ("de", "en", "fr")}, ".", "1,2", "got train.de, train.en"),
    "one language": ({"train.de": "x"}, ".", "1,2", "got train.de"),
    "broken JSON": ({"p.jsonl": '{"de": "x"\n'}, "p.jsonl", "1,2", "no JSON"),
    "only numbers": ({"p.jsonl": '{"de": 1, "en": 2}\n'}, "p.jsonl", "1,2", "1 pairs, in 1 groups"),
    "rows with numbers": (
        {"p.tsv": "".join(f"{7 * n}\tx{n}\t{n}\ty{n}\n" for n in range(9))},
        "p.tsv",
        "1,2",
        "column 1 of 0, x0, 0, y0 holds numbers .7, 14, 21 ...., not sentences; name the columns .*--columns 2,4",
    ),
    "ids of Tatoeba": ({"p.tsv": TATOEBA}, "p.tsv", "1,2", "column 1 .*--columns 2,4$"),
    "ids of Tatoeba that are not sorted": ({"p.tsv": TATOEBA}, "p.tsv", "2,3", "column 3 .*9999, 3000.*--columns 2,4$"),
    "an index of pandas": (
        {"p.csv": ",de,en\n" + "".join(f"{n},x{n},y{n}\n" for n in range(9))},
        "p.csv",
        "1,2",
        "column 1 of , de, en holds numbers .*--columns 2,3",
    ),
    "numbered entries": (
        {"p.jsonl": "".join(f'{{"id": {n}, "de": "x", "en": "y"}}\n' for n in range(9))},
        "p.jsonl",
        "1,2",
        "column 1 of id, de, en holds numbers",
    ),
    "empty": ({"p.csv": "\n"}, "p.csv", "1,2", "empty"),
    "an empty list": ({"p.json": "[]"}, "p.json", "1,2", "empty"),
    "numbers for objects": ({"p.json": "[1, 2]"}, "p.json", "de,en", "no column de"),
    "CSV by another name": (
        {"p.txt": '"x, y","z"\n' * 9},
        "p.txt",
        "1,2",
        "no tab .*CSV: give its name the ending",
    ),
    "spaces for a tab": ({"p.txt": "x y    z\n" * 9}, "p.txt", "1,2", "no tab .*separated by spaces: .*sed -E"),
    "one column": ({"p.txt": "x y z\n" * 9}, "p.txt", "1,2", "no tab .*put one there"),
    "one file of two": ({"a.de": "x"}, "a.de,b.en", "1,2", "no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_are_no_pairs_are_refused(tmp_path, monkeypatch, case):
    files, name, columns, message = BAD[case]
    write(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_corpus(name, tuple(columns.split(",")))


@pytest.mark.parametrize(
    ("text", "is_quoted"),
    [
        ('Hi.\tHallo.\n"Well, yes."\t"Nun, ja."\n', True),
        ('Hi.\tHallo.\n"Well, yes."\t"Nun, ja."\nI see, yes.\tJa.\n', False),
        ('Hi.\tHallo.\n"Well, yes," he said.\t"Nun, ja", sagte er.\n"Well, yes."\t"Nun, ja."\n', False),
        ('Hi.\tHallo.\n"Stop!"\t"Halt!"\n', False),
        ('"Stop!"\t"Halt!"\n"Well, yes," he said.\t"Nun, ja", sagte er.\n', False),
        ('Hi.\tHallo.\n"Well, yes."\tNa gut.\n', False),
        ('Hi.\tHallo.\nA 5" disk\tEine 5"-Diskette\n"\t"\n', False),
    ],
)
def test_quotes_of_a_program_are_removed_and_those_of_direct_speech_stay(tmp_path, text, is_quoted):
    (tmp_path / "p.tsv").write_text(text)
    lines = text.replace('"', "") if is_quoted else text
    assert load_tables(str(tmp_path / "p.tsv"))["all"].rows == [line.split("\t") for line in lines.splitlines()]


def test_another_encoding_is_read_if_it_is_named(tmp_path):
    (tmp_path / "p.tsv").write_bytes("Я люблю кошек. Вчера он пошёл в школу.\tI like cats.\n".encode("koi8_r") * 30)
    with pytest.raises(UserError, match="--encoding koi8_r if .Я люблю кошек"):
        load_tables(str(tmp_path / "p.tsv"))
    table = load_tables(str(tmp_path / "p.tsv"), encoding="koi8_r")["all"]
    assert table.rows[0] == ["Я люблю кошек. Вчера он пошёл в школу.", "I like cats."]


def test_a_pair_of_words_is_no_header(capsys):
    table = Table([["Go.", "Ve."], ["x", "y"]])
    assert choose_columns(table, ("1", "2"), "x.tsv") == (table, (1, 2)) and capsys.readouterr().err == ""
    words = Table([["oui", "yes"], ["x", "y"]])
    assert choose_columns(words, ("1", "2"), "x.tsv") == (words, (1, 2)) and capsys.readouterr().err == ""
    years = Table([["In 1999.", "x"], ["1999", "y"], ["2000", "z"], ["2001", "w"]])
    assert choose_columns(years, ("1", "2"), "x.tsv")[0] == years
    words = Table([["42", "forty-two", "1"], ["9", "nine", "3"], ["7", "seven", "2"]])
    assert choose_columns(words, ("1", "2"), "x.tsv")[0] == words  # no other column of texts
    short = Table([["source", "target"], ["x", "y"]])
    assert choose_columns(short, ("1", "2"), "x.tsv")[0].rows == [["x", "y"]]
    assert "source, target, is taken for the names of the columns" in capsys.readouterr().err


def test_pairs_that_are_all_too_long_are_too_few(tmp_path):
    (tmp_path / "p.tsv").write_text(f"{'lang ' * 100}\tlong\n" * 200)
    with pytest.raises(UserError, match="0 pairs, .*; rows that were too long need a larger --max-tokens"):
        load_corpus(str(tmp_path / "p.tsv"))


def test_long_pairs_are_left_out_however_many(tmp_path, capsys):
    rows = [f"{'lang ' * (100 if n % 2 else 5)}{n}\tlong {n}\n" for n in range(200)]
    (tmp_path / "p.tsv").write_text("".join(rows))
    corpus = load_corpus(str(tmp_path / "p.tsv"), held_out=0.1)
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 100
    assert "100 of 200 rows" in capsys.readouterr().err
