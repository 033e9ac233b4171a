"""Cut a data set into shards."""


def shard_range(n_images: int, i_shard: int, n_shards: int) -> range:
    """The images of a shard.

    Raises:
        ValueError: there is no such shard, or a shard would be empty.
    """
    if not 0 <= i_shard < n_shards:
        raise ValueError(
            f"there is no shard {i_shard} of {n_shards}: write 0 to {n_shards - 1}"
        )
    if n_images < n_shards:
        raise ValueError(
            f"{n_images} images cannot fill {n_shards} shards: lower n_shards"
        )
    return range(i_shard * n_images // n_shards, (i_shard + 1) * n_images // n_shards)
