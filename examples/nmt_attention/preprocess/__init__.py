"""Step 2: the tokenizer."""
