"""Write the trained model as a SavedModel that maps sentences to translations, without this code.

Shapes: B batch, S source, T target.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import tensorflow as tf

from common.app.saved_model import SymbolTable, save_model
from common.data.pieces import SPACE, cut_in_graph
from common.training.checkpoints import named_variables
from examples.nmt_attention.demo import SentenceTranslator, translate_ids
from examples.nmt_attention.preprocess.piece_tokenizer import PieceTokenizer
from examples.nmt_attention.preprocess.tokenizer import (
    END,
    JOINER_PATTERN,
    PAD,
    SPECIAL_TOKENS,
    TOKENIZER_RULES,
    UNKNOWN,
)

_SPACES = r"[\s\p{Z}\x0b\x{85}\x1c-\x1f]+"


def export(translator: SentenceTranslator, folder: Path, maker: str, overwrite: bool = False) -> Path:
    """Write the SavedModel to `folder` and return it; see `common.app.saved_model.save_model` for the arguments.

    Its one signature takes sentences, string [B], in Unicode NFC, and gives greedy translations. Unlike
    `SentenceTranslator`, it does not read a sentence in capitals in lower case.

        translations   string [B]
        attention      float32 [B, T, S], each row of a token adds up to 1; 0 where a sentence has no token
        tokens         string [B, T], of the translations, "" where there is none; of words with a joiner where no space
                       belongs, of characters and subwords with ▁ where one does
        source_tokens  string [B, S], likewise
    """
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    source, target = (SymbolTable(tokenizer.vocabulary.symbols) for tokenizer in tokenizers)
    tokenise, truecase = _tokenise, _truecase
    if isinstance(translator.source_tokenizer, PieceTokenizer):
        tokenise, truecase = partial(_cut_into_pieces, translator.source_tokenizer, source), _unchanged
    restore_case, detokenise, markers = _capitalise_like, _detokenise, "[￭▁]"
    if isinstance(translator.target_tokenizer, PieceTokenizer):
        restore_case, detokenise, markers = _unchanged, _join_pieces, "￭"
    if translator.target_tokenizer.lower_case:
        restore_case = _unchanged

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "sentences")])
    def translate(sentences):
        source_tokens = tokenise(_clean(sentences))[:, : translator.max_tokens]  # B S
        is_empty = tf.reduce_all(source_tokens == "", axis=1, keepdims=True)  # B 1
        stand_in = tf.where(is_empty, UNKNOWN, PAD)  # B 1; a row without a word gets UNKNOWN
        ids = _encode(truecase(source_tokens, source), source)  # B S
        ids = tf.concat([tf.maximum(ids[:, :1], stand_in), ids[:, 1:]], axis=1)  # B S
        found = translate_ids(translator.model, ids, length_ratio=translator.length_ratio)
        is_token = (found.ids[:, 0] != END) & ~is_empty  # B T
        attention = found.attention[:, 0] * tf.cast(is_token, tf.float32)[..., None]  # B T S
        copied = tf.strings.regex_replace(source_tokens, markers, "")  # B S
        tokens = _output_tokens(found.ids[:, 0], attention, copied, target)  # B T
        tokens = restore_case(tf.where(is_token, tokens, ""), source_tokens)
        return {
            "translations": detokenise(tokens),
            "attention": attention,
            "tokens": tokens,
            "source_tokens": source_tokens,
        }

    resources = [*named_variables(translator.model).values(), source, target]
    return save_model(translate, resources, folder, maker, overwrite)


def _clean(sentences: tf.Tensor) -> tf.Tensor:
    """Return sentences, string [B] in Unicode NFC, as `tokenizer.clean`."""
    text = tf.strings.regex_replace(sentences, r"^\x{FEFF}", "")  # a byte order mark
    text = tf.strings.regex_replace(tf.strings.regex_replace(text, _SPACES, " "), "[￭▁\ue000\ue001]", "■")
    return tf.strings.strip(text)


def _tokenise(text: tf.Tensor) -> tf.Tensor:
    """Return the words of clean sentences, string [B, S] with "" as padding and S at least 1."""
    for pattern, replacement in TOKENIZER_RULES:
        text = tf.strings.regex_replace(text, pattern, replacement)
    return _padded(tf.strings.split(text))


def _padded(tokens: tf.RaggedTensor) -> tf.Tensor:
    """Return ragged tokens as string [B, S] with "" as padding and S at least 1."""
    return tf.concat([tokens, tf.fill([1, 1], "")], axis=0).to_tensor("")[:-1]


def _cut_into_pieces(tokenizer: PieceTokenizer, table: SymbolTable, text: tf.Tensor) -> tf.Tensor:
    """Return the pieces of clean sentences, string [B, S] with "" as padding and S at least 1."""
    text = tf.where(text == "", "", tokenizer.prefix + tf.strings.regex_replace(text, " ", SPACE))

    def is_piece(pieces: tf.Tensor) -> tf.Tensor:
        ids = table.ids.lookup(pieces)
        return (ids >= len(SPECIAL_TOKENS)) & (ids < table.size)

    return _padded(cut_in_graph(text, is_piece, tokenizer.max_length))


def _unchanged(tokens: tf.Tensor, *_) -> tf.Tensor:
    return tokens


def _detokenise(tokens: tf.Tensor) -> tf.Tensor:
    """Return the sentences of words, string [B, T]."""
    text = tf.strings.reduce_join(tokens, axis=-1, separator=" ")  # B
    text = tf.strings.regex_replace(text, " +", " ")  # a copied space is an empty token
    return tf.strings.strip(tf.strings.regex_replace(text, JOINER_PATTERN, ""))


def _join_pieces(tokens: tf.Tensor) -> tf.Tensor:
    """Return the sentences of characters or subwords, string [B, T]."""
    return tf.strings.strip(tf.strings.regex_replace(tf.strings.reduce_join(tokens, axis=-1), SPACE, " "))


def _is_first_word(tokens: tf.Tensor) -> tf.Tensor:
    """Return bool [B, S], True for the first word of each sentence."""
    is_word = tf.strings.regex_full_match(tokens, r"[\p{L}\p{N}_].*")  # B S; as `tokenizer.first_word`
    return is_word & (tf.cumsum(tf.cast(is_word, tf.int32), axis=1) == 1)


def _truecase(tokens: tf.Tensor, table: SymbolTable) -> tf.Tensor:
    lower = _with_first_letter(tokens, _lower)
    is_commoner = table.ids.lookup(lower) < table.ids.lookup(tokens)
    return tf.where(_is_first_word(tokens) & is_commoner, lower, tokens)


def _encode(tokens: tf.Tensor, table: SymbolTable) -> tf.Tensor:
    ids = table.ids.lookup(tokens)
    return tf.where(tokens == "", PAD, tf.where(ids < table.size, ids, UNKNOWN))


def _output_tokens(ids: tf.Tensor, attention: tf.Tensor, source_labels: tf.Tensor, table: SymbolTable) -> tf.Tensor:
    """Return the tokens of translations, the unknown ones replaced by the source token of the greatest weight."""
    copied = tf.gather(source_labels, tf.argmax(attention, axis=-1), batch_dims=1)  # B T
    return tf.where(ids < len(SPECIAL_TOKENS), copied, tf.gather(table.symbols, ids))


def _capitalise_like(tokens: tf.Tensor, source_tokens: tf.Tensor) -> tf.Tensor:
    source_tokens = tf.strings.regex_replace(source_tokens, f"^{SPACE}+", "")
    letters = tf.strings.substr(source_tokens, 0, 1, "UTF8_CHAR")
    is_lower = (letters == _lower(letters)) & (letters != _title(letters))  # B S
    begins_lower = tf.reduce_any(is_lower & _is_first_word(source_tokens), axis=1, keepdims=True)  # B 1
    return tf.where(_is_first_word(tokens) & ~begins_lower, _with_first_letter(tokens, _title), tokens)


def _lower(letters: tf.Tensor) -> tf.Tensor:
    return tf.strings.lower(letters, encoding="utf-8")


def _title(letters: tf.Tensor) -> tf.Tensor:
    """Return letters as capitals, but those of Georgian as they are: it has capitals only in words all in capitals."""
    is_georgian = tf.strings.regex_full_match(letters, "[ა-ჿ]")
    return tf.where(is_georgian, letters, tf.strings.upper(letters, encoding="utf-8"))


def _with_first_letter(words: tf.Tensor, change: Callable) -> tf.Tensor:
    """Return words with `change` applied to their first letter, if that gives one character."""
    padded = words + " "  # substr does not take an empty string
    first = tf.strings.substr(padded, 0, 1, "UTF8_CHAR")
    rest = tf.strings.substr(padded, 1, 10**6, "UTF8_CHAR")
    changed = change(first)
    return tf.strings.strip(tf.where(tf.strings.length(changed, "UTF8_CHAR") == 1, changed, first) + rest)
