"""A page to play with trained models in, and the same as a JSON API."""
