"""Step 2: preprocess."""
