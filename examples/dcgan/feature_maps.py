"""The sizes of the feature maps, shared by generator and discriminator."""

Size = tuple[int, int]
"""Height and width."""


def feature_map_sizes(image_size: Size) -> list[Size]:
    """Return height and width of the feature maps, the image's first, halved and rounded up until a side is at most 4.

    28 x 28: 28, 14, 7, 4. And 64 x 64, as in the paper: 64, 32, 16, 8, 4. 64 x 96 ends at 4 x 6.
    """
    sizes = [image_size]
    while min(sizes[-1]) > 4:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes
