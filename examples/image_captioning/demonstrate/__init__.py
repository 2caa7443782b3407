"""Step 5: the figures of captions."""
