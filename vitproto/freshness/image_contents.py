"""Find the content of images, reading only those from which a result may be made.

Recording reads every image, so its notes give the content of images of that look.
Images with another look are read if they have the sizes of those that a result was made
from: dates alone decide nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import (
    ABSENT,
    GONE,
    Note,
    Origin,
    add_images,
    have_same_sizes,
    is_image_sum,
    read_by,
)
from vitproto.freshness.raw_files import Images


def remember(notes: Iterable[Note], digests: Digests) -> None:
    """Learn the content of images from notes of shards, which may have been deleted.

    If two notes contradict each other, an image was replaced by one with the same look,
    so the images must be read.
    """
    by_look: dict[str, set[str]] = {}
    for note in notes:
        for what, look in note.looks.items():
            content = note.origin.files.get(what)
            if is_image_sum(look) and is_image_sum(content):
                by_look.setdefault(look, set()).add(content)
    for look, contents in by_look.items():
        digests.note_images(look, contents.pop() if len(contents) == 1 else None)


def with_recorded(
    images: Iterable[Images], shard: Path, origin: Origin
) -> tuple[Origin, dict[str, str]]:
    """Add the content of recorded images to the origin of their shard.

    Returns:
        The origin with the images' content, and their looks: see `Note`.
    """
    files, looks = dict(origin.files), {}
    for each in images:
        look, content = each.look(), each.recorded_in(shard)
        if look is not None and content is not None:
            files[each.what], looks[each.what] = content, look
    return replace(origin, files=files), looks


def look_into(
    own: Sequence[Origin],
    images: Sequence[Sequence[Images]],
    noted: Sequence[Origin | None],
    digests: Digests,
) -> list[Origin]:
    """Find the content of images where it matters.

    Args:
        own: each job's origin today, without what its inputs were made from.
        images: the images that each job reads.
        noted: the origin in the notes of each job's results.
        digests: known digests of files.

    Returns:
        Like `own`, with the content of images instead of their look where it matters.
    """
    made_from: dict[str, set[str]] = {}
    for origin in filter(None, noted):
        for name, digest in origin.files_above.items():
            made_from.setdefault(name, set()).add(digest)
    sets: dict[str, list[_Part]] = {}
    for i, origin in enumerate(own):
        for each in images[i]:
            if origin.files[each.what] != ABSENT:
                name = read_by(origin.name, each.what)
                sets.setdefault(name, []).append(_Part(i, each, origin, noted[i]))
    origins = list(own)
    for name, parts in sets.items():
        _look_into_parts(parts, made_from.get(name, set()), digests)
        for part in parts:
            files = {**origins[part.i].files, part.images.what: part.digest}
            origins[part.i] = replace(origins[part.i], files=files)
    return origins


class _Part:
    """The images of one shard."""

    def __init__(
        self, i: int, images: Images, own: Origin, noted: Origin | None
    ) -> None:
        self.i, self.images = i, images
        self.look = images.look() or ABSENT
        self.digest = own.files[images.what]
        self.recorded = noted.files.get(images.what, GONE) if noted else GONE

    @property
    def is_known(self) -> bool:
        return self.digest != self.look


def _look_into_parts(
    parts: Sequence[_Part], made_from: Iterable[str], digests: Digests
) -> None:
    """Fill in the content of images from which a shard or later result may be made."""
    whole_look = add_images(part.look for part in parts)
    is_asked = any(have_same_sizes(whole_look, digest) for digest in made_from)
    _read(
        [part for part in parts if have_same_sizes(part.look, part.recorded)], digests
    )
    unknown = [part for part in parts if not part.is_known]
    whole = digests.of_images(whole_look)
    if is_asked and unknown and whole is not None:
        # The content of all images together is known from another number of shards.
        # Only the total is compared, so none needs to be read.
        known = [part.digest for part in parts if part.is_known]
        unknown[0].digest = add_images([whole], without=known)
        for part in unknown[1:]:
            part.digest = add_images([])
    elif is_asked:
        _read(unknown, digests)
    if all(part.is_known for part in parts):
        digests.note_images(whole_look, add_images(part.digest for part in parts))


def _read(parts: Iterable[_Part], digests: Digests) -> None:
    for part in parts:
        if not part.is_known:
            part.digest = part.images.read(digests) or part.look
