from examples.nmt_attention.grammar import tiny_pairs
from examples.nmt_attention.tokenizer import tokenise

CONTENT = {"gato": "cat", "niñas": "girls", "roja": "red", "rojos": "red", "ve": "see", "árboles": "trees"}


def words(sentence):
    return [token.strip("￭").lower() for token in tokenise(sentence) if token.strip("￭").isalpha()]


def test_the_sentences_are_always_the_same_and_all_different():
    pairs = tiny_pairs()
    assert pairs == tiny_pairs() and len({pair.spanish for pair in pairs}) == len(pairs) == 3000
    assert tiny_pairs(5) == pairs[:5]


def test_words_agree_and_the_links_lead_to_their_translations():
    seen = set()
    for pair in tiny_pairs():
        spanish, english = words(pair.spanish), words(pair.english)
        for source, target in pair.links:
            seen.add((spanish[source], english[target]))
        article = spanish.index("niñas") - 1 if "niñas" in spanish else None
        assert article is None or spanish[article] in ("las", "estas")
    assert {
        ("gato", "cat"),
        ("niñas", "girls"),
        ("roja", "red"),
        ("rojos", "red"),
        ("ve", "see"),
        ("no", "not"),
    } <= seen
    assert {("ve", "sees"), ("ven", "see"), ("dónde", "where"), ("ratones", "mice")} <= seen
    one_to_one = {spanish: {e for s, e in seen if s == spanish} for spanish, _ in seen}
    assert all(len(translations) <= 2 for translations in one_to_one.values())  # two for verbs: sees, see
