"""DCGAN: two networks play against each other until noise turns into digits, or into your own images."""
