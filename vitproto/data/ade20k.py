"""ADE20K, and any other data set of images, masks and classes in the same layout.

Images lie in `images/training/STEM.jpg` and `images/validation/`, their masks in
`annotations/training/STEM.png` and `annotations/validation/`, the classes in one
`objectInfo*.txt`, and optionally the scene of each image in `sceneCategories.txt`.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from vitproto.data.ade20k_layout import (
    SPLIT_OF,
    find_object_info,
    find_root,
    names_in,
)
from vitproto.data.cub200_layout import first_few, is_whole_number
from vitproto.data.image_folder import SUFFIXES
from vitproto.data.image_list import COLUMNS

CLASS_COLUMNS = ("idx", "name")
"""The columns of `objectInfo*.txt` that are read, in lower or upper case."""


def read_images(root: Path) -> pd.DataFrame:
    """List the images of a data set in ADE20K's layout, with their splits.

    Images for training come first; validation images are in the split `test`. An
    image's class is its scene in `sceneCategories.txt`, if there is one. Hidden files
    and files that are not images by their suffix are left out.

    Args:
        root: `ADEChallengeData2016`, or the folder that holds it.

    Returns:
        The columns of both lists, each split sorted by id; the id is the name
        without its suffix, and paths are relative to `root`.

    Raises:
        ValueError: folders are missing, a split is empty, images and masks are not in
            pairs or two images share an id, in one message for all; a name is not
            UTF-8, or a scene's line is damaged; with the file, and the line if any.
    """
    top = find_root(root)
    scene_of = _read_scenes(top / "sceneCategories.txt")
    rows = []
    path_of: dict[str, str] = {}
    problems = []
    for folder, split in SPLIT_OF.items():
        images = top / "images" / folder
        names = [n for n in names_in(images) if n.lower().endswith(SUFFIXES)]
        if not names:
            raise ValueError(f"{images} is empty: looked for {', '.join(SUFFIXES)}")
        stems = [os.path.splitext(name)[0] for name in names]
        for stem, name in sorted(zip(stems, names, strict=True)):
            path = (images / name).relative_to(root).as_posix()
            earlier = path_of.setdefault(stem, path)
            if earlier != path:
                problems.append(
                    f"{root} holds {earlier} and {path}: two images must not share the "
                    f"name {stem}, which is their id: rename or remove one"
                )
            rows.append((stem, path, split, scene_of.get(stem, "")))
        problems += _unpaired(images, names, stems, top / "annotations" / folder)
    if problems:
        raise ValueError("\n".join(problems))
    return pd.DataFrame(rows, columns=COLUMNS, dtype="str")


def mask_path(root: Path, image_path: str) -> Path:
    """The path of the mask of an image.

    Args:
        root: the folder to which the paths of the image list are relative.
        image_path: the path in the image list.

    Raises:
        ValueError: the image does not lie in `images/training` or `images/validation`.
    """
    path = PurePosixPath(image_path)
    split, images = path.parent, path.parent.parent
    if images.name != "images" or split.name not in SPLIT_OF:
        raise ValueError(
            f"the image {image_path} lies neither in images/training nor in "
            "images/validation, so it has no mask: list the images with "
            "scripts/list_ade20k.py"
        )
    return root / images.parent / "annotations" / split.name / f"{path.stem}.png"


def read_classes(root: Path) -> list[str]:
    """The names of the classes, in the order of their labels 1, 2, …

    Label 0 is for pixels of no class, and is not listed.

    Args:
        root: `ADEChallengeData2016`, or the folder that holds it.

    Raises:
        ValueError: there is no `objectInfo*.txt` or more than one, its header lacks
            the columns Idx and Name, a label is not a whole number, appears twice or is
            left out, or a name is missing; all such problems, with file and line.
    """
    path = find_object_info(find_root(root))
    lines = _read_lines(path)
    header = [field.strip().lower() for field in lines[0].split("\t")]
    if any(header.count(column) != 1 for column in CLASS_COLUMNS):
        raise ValueError(
            f"{path}, line 1: expected columns with tabs between them, among them Idx "
            f"and Name, got {lines[0]!r}"
        )
    i_label, i_name = (header.index(column) for column in CLASS_COLUMNS)
    name_of: dict[int, str] = {}
    line_of: dict[int, int] = {}
    problems = []
    for line, content in enumerate(lines[1:], start=2):
        if not content.strip():
            continue
        fields = [field.strip() for field in content.split("\t")]
        if len(fields) <= max(i_label, i_name) or not fields[i_name]:
            problems.append((line, f"the name is missing, got {content!r}"))
        elif not is_whole_number(fields[i_label]):
            got = fields[i_label]
            problems.append((line, f"Idx must be a whole number, got {got!r}"))
        elif (label := int(fields[i_label])) in name_of:
            earlier = line_of[label]
            problems.append((line, f"the Idx {label} is already on line {earlier}"))
        else:
            name_of[label], line_of[label] = fields[i_name], line
    # Where lines could not be read, gaps are their fault.
    problems += _find_gaps(line_of) if not problems else []
    if problems:
        raise ValueError("\n".join(f"{path}, line {n}: {why}" for n, why in problems))
    if not name_of:
        raise ValueError(f"{path} lists no class")
    return [name_of[label] for label in sorted(name_of)]


def _find_gaps(line_of: dict[int, int]) -> list[tuple[int, str]]:
    """What is wrong where labels are not 1 to C without gaps: line and sentence."""
    if 0 in line_of:
        why = "Idx counts from 1, as 0 stands for pixels of no class: remove the line"
        return [(line_of[0], why)]
    highest = max(line_of, default=0)
    missing = [str(label) for label in range(1, highest) if label not in line_of]
    if not missing:
        return []
    why = (
        f"Idx goes up to {highest}, but no line has {first_few(missing)}: number the "
        "classes without gaps"
    )
    return [(line_of[highest], why)]


def _unpaired(
    images: Path, names: list[str], stems: list[str], annotations: Path
) -> Iterator[str]:
    """Sentences about the images of a split without mask, and masks without image."""
    files = names_in(annotations)
    masks = {name.removesuffix(".png") for name in files if name.endswith(".png")}
    pairs = zip(stems, names, strict=True)
    alone = [name for stem, name in pairs if stem not in masks]
    if alone:
        yield (
            f"{len(alone)} of the {len(names)} images in {images} have no mask, a .png "
            f"of the same name, in {annotations}: {first_few(alone)}"
        )
    without = sorted(f"{stem}.png" for stem in masks - set(stems))
    if without:
        yield (
            f"{len(without)} of the {len(masks)} masks in {annotations} have no image "
            f"of the same name in {images}: {first_few(without)}"
        )


def _read_scenes(path: Path) -> dict[str, str]:
    """The scene of each image in a file, by the image's id."""
    if not path.is_file():
        return {}
    scene_of: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for line, content in enumerate(_read_lines(path), start=1):
        # Split at the last blank: names of files may contain blanks. If scenes do too,
        # a tab must separate them.
        fields = content.strip().rsplit("\t" if "\t" in content else None, maxsplit=1)
        if len(fields) < 2:
            continue
        stem, scene = (field.strip() for field in fields)
        if stem in scene_of:
            raise ValueError(
                f"{path}, line {line}: the image {stem} is already on line "
                f"{line_of[stem]}"
            )
        scene_of[stem], line_of[stem] = scene, line
    return scene_of


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error})") from None
