"""The metrics of generated images, the classifier that some of them need, and warnings based on them."""
