"""What images hold, although they are read only where a result may be made of them.

Recording reads every image, so its notes say what images of that look held. Others are
read if sizes do not tell them from those of a result: dates alone decide nothing.
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
    """Learn from notes of shards what images hold, to know it without the shards.

    Where two notes contradict each other, an image was replaced by one that looks the
    same, and only reading tells which it is.
    """
    found: dict[str, set[str]] = {}
    for note in notes:
        for what, look in note.looks.items():
            content = note.origin.files.get(what)
            if is_image_sum(look) and is_image_sum(content):
                found.setdefault(look, set()).add(content)
    for look, contents in found.items():
        digests.note_images(look, contents.pop() if len(contents) == 1 else None)


def with_recorded(
    images: Iterable[Images], shard: Path, origin: Origin
) -> tuple[Origin, dict[str, str]]:
    """What a job that has recorded images made its shard of.

    Returns:
        Its origin with what the images held, and how they look: see `Note`.
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
    """Find out what images hold where that matters.

    Args:
        own: what each job would add today.
        images: those that each job reads.
        noted: what each job's results were made of.
        digests: of what was read before.

    Returns:
        As `own`, with the content of images in place of their look.
    """
    made_of: dict[str, set[str]] = {}
    for origin in filter(None, noted):
        for name, digest in origin.files_above.items():
            made_of.setdefault(name, set()).add(digest)
    sets: dict[str, list[_Part]] = {}
    for i, origin in enumerate(own):
        for each in images[i]:
            if origin.files[each.what] != ABSENT:
                name = read_by(origin.name, each.what)
                sets.setdefault(name, []).append(_Part(i, each, origin, noted[i]))
    found = list(own)
    for name, parts in sets.items():
        _look_into_parts(parts, made_of.get(name, set()), digests)
        for part in parts:
            files = {**found[part.i].files, part.images.what: part.digest}
            found[part.i] = replace(found[part.i], files=files)
    return found


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
    parts: Sequence[_Part], made_of: Iterable[str], digests: Digests
) -> None:
    """Fill in what images hold if a shard, or what was made of all, may be of them."""
    whole_look = add_images(part.look for part in parts)
    is_asked = any(have_same_sizes(whole_look, digest) for digest in made_of)
    _read(
        [part for part in parts if have_same_sizes(part.look, part.recorded)], digests
    )
    unknown = [part for part in parts if not part.is_known]
    whole = digests.of_images(whole_look)
    if is_asked and unknown and whole is not None:
        # They were known when they were cut otherwise, so nobody needs to read them:
        # only what all hold together is compared.
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
