"""Translation with attention: learns Spanish to English from sentence pairs, and draws its attention."""
