"""Image captioning: describes a photo in a sentence, and shows where it looks for every word."""
