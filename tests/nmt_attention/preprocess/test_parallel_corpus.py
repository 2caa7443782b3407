import random

from examples.nmt_attention.download.pair_files import Table
from examples.nmt_attention.preprocess.parallel_corpus import clean_pairs, component_names, split_pairs

GOOD = [["Hello.", "Hola."]] * 400


def cleaned(rows, columns=(2, 1), max_tokens=10):
    return clean_pairs(Table(rows), columns, max_tokens, "--data x.tsv")


def test_columns_are_chosen_cleaned_and_extra_ones_ignored():
    rows = [[" Go. ", "Ve.", "CC-BY 2.0"], ["Hi\u00a0you", "Hola\ufeff"]]
    assert cleaned(rows) == [("Ve.", "Go."), ("Hola\ufeff", "Hi you")]
    assert cleaned([["a", "x", "b"]], columns=(1, 3)) == [("a", "b")]


def test_the_same_pair_counts_once():
    assert cleaned(GOOD) == [("Hola.", "Hello.")]


def test_pairs_that_are_there_twice_are_counted(capsys):
    assert cleaned([*GOOD, ["Go.", "Ve."]]) == [("Hola.", "Hello."), ("Ve.", "Go.")]
    assert capsys.readouterr().err == "note: 399 pairs of --data x.tsv stand there twice or more; each is used once\n"
    cleaned(GOOD[:1])
    assert capsys.readouterr().err == ""


def test_a_group_that_is_too_large_for_another_part_is_for_training():
    for seed in range(20):  # wherever the hash of its name would put it
        answer = [(f"question {seed} {number}", f"I do not know {seed}.") for number in range(60)]
        others = [(f"q {seed} {number}", f"a {seed} {number}") for number in range(40)]
        train, validation, test = split_pairs(answer + others, held_out=0.1)
        assert {*answer} <= {*train} and len(validation) + len(test) <= 20


def some_pairs(count=3000):
    draw = random.Random(3)
    return list({(f"s{draw.randrange(count)}", f"t{draw.randrange(count)}"): None for _ in range(count // 2)})


def test_no_sentence_stands_in_two_parts():
    parts = split_pairs(some_pairs(), held_out=0.2)
    for side in (0, 1):
        train, validation, test = ({pair[side] for pair in part} for part in parts)
        assert not (train & validation or train & test or validation & test)
    assert all(len(part) > 100 for part in parts) and sum(map(len, parts)) == len(some_pairs())


def test_the_split_does_not_depend_on_the_order_of_the_file():
    pairs, shuffled = some_pairs(), some_pairs()
    random.Random(5).shuffle(shuffled)
    assert [*map(set, split_pairs(pairs, 0.2))] == [*map(set, split_pairs(shuffled, 0.2))]


def test_pairs_tied_through_others_have_one_name_and_the_first_in_the_alphabet():
    pairs = [("b", "x"), ("b", "y"), ("c", "y"), ("d", "z"), ("x", "b")]
    assert component_names(pairs) == ["b", "b", "b", "d", "b"]
    assert len(set(component_names([("s", "same"), ("same", "t")]))) == 2  # a word of two languages ties nothing


def test_half_a_character_is_no_sentence(capsys):
    assert cleaned([*GOOD, ["Half an emoji \ud83d", "Medio"]]) == [("Hola.", "Hello.")]
    assert "half a character" in capsys.readouterr().err
