"""Text generation: train a character-level recurrent network on any text, and generate more of it."""
