"""Step 5: the figures of a trained model."""
