"""Step 5: figures and animations."""
