"""The metrics of captions and of attention."""
