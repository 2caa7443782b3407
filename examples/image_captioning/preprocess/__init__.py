"""Step 2: the features of photos, computed once."""
