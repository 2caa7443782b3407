"""Step 1: cleaning and splitting sentence pairs, and the grammar that generates those of the tiny preset."""
