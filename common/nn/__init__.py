"""Step 3: layers, losses, optimizers and decoding that the models share."""
