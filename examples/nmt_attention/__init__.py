"""Translation with attention: learns Spanish to English from sentence pairs, and shows where it looks."""
