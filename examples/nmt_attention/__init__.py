"""Translation with attention: a GRU encoder-decoder trained on sentence pairs, with attention maps."""
