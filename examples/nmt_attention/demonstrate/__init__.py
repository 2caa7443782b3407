"""Step 5: attention maps and samples, and text from and to files and pipes."""
