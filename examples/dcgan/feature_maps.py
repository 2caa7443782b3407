"""The sizes of the feature maps, shared by generator and discriminator."""


def feature_map_sizes(image_size: int) -> list[int]:
    """Return the sizes of the feature maps, the image's first, halved and rounded up until one is at most 4.

    28: 28, 14, 7, 4. And 64, as in the paper: 64, 32, 16, 8, 4.
    """
    sizes = [image_size]
    while sizes[-1] > 4:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes
