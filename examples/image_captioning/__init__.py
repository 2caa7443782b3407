"""Image captioning: an LSTM with attention captions photos, and shows the attention for every word."""
