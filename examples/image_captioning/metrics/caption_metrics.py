"""BLEU-1 to 4, ROUGE-L and CIDEr, by the scorers of pycocoevalcap that need no Java.

A photo has several reference captions, and a caption is compared with all of them. **BLEU-n** is the precision of its
n-grams of up to n words, with a penalty for short captions. **ROUGE-L** measures the longest common subsequence of
words. **CIDEr** compares n-grams weighted by TF-IDF: "a man" is in many captions and counts little.
"""

import contextlib
import io
from collections.abc import Sequence

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

RULE = (
    "pycocoevalcap's Bleu(4), Rouge and Cider over the whole split, against all captions of each photo; captions and "
    "references lower-case, split at spaces (Chinese, Japanese, Thai and the like into letters), punctuation stripped "
    "from both ends of each word"
)


def compute_metrics(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> dict[str, float]:
    """Return `bleu_1` to `bleu_4`, `rouge_l` and `cider`.

    Args:
        captions: for each photo the words of the generated caption.
        references: for each photo the words of each of its true captions; a photo without any is left out.
    """
    true = {number: [" ".join(words) for words in texts] for number, texts in enumerate(references) if texts}
    generated = {number: [" ".join(captions[number])] for number in true}
    with contextlib.redirect_stdout(io.StringIO()):  # Bleu prints
        bleu, _ = Bleu(4).compute_score(true, generated)
        rouge, _ = Rouge().compute_score(true, generated)
        cider, _ = Cider().compute_score(true, generated)
    return {f"bleu_{n}": float(value) for n, value in enumerate(bleu, start=1)} | {
        "rouge_l": float(rouge), "cider": float(cider)
    }  # fmt: skip
