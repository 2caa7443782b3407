"""Steps 1 and 2: download, extract, read and batch data."""
