"""Step 1: the digits that the tiny preset draws instead of downloading images."""
