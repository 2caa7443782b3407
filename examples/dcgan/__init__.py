"""DCGAN: train a generator and a discriminator against each other, on digits or on your own images."""
