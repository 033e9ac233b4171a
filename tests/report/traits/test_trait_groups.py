from collections import Counter
from importlib import resources

import pytest

from vitproto.report.traits.trait_groups import find_group, find_kind


def _cub_names():
    file = resources.files("vitproto.demo.birds") / "cub_attributes.txt"
    return [line.split(maxsplit=1)[1] for line in file.read_text().splitlines()]


def test_every_trait_of_cub_has_a_kind():
    kinds = Counter(find_kind(name) for name in _cub_names())
    # 15 attributes of 15 colours, eyes of 14; heads with 11 patterns, 5 attributes
    # with 4; bills 9, tails 6, wings 5 and birds 14 shapes; 3 lengths and 5 sizes.
    assert kinds == {
        "colour": 15 * 15 + 14,
        "pattern": 11 + 5 * 4,
        "shape": 9 + 6 + 5 + 14,
        "size": 3 + 5,
    }
    assert kinds.total() == 312


def test_the_groups_of_cub_are_its_attributes():
    sizes = Counter(find_group(name) for name in _cub_names())
    assert len(sizes) == 28
    assert sizes["has_shape"] == 14
    assert sizes["has_wing_color"] == 15


@pytest.mark.parametrize(
    ("trait", "group", "kind"),
    [
        ("has_bill_length::about_the_same_as_head", "has_bill_length", "size"),
        ("has_size::small_(5_-_9_in)", "has_size", "size"),
        ("has_shape::perching-like", "has_shape", "shape"),
        ("has_song::long", "has_song", "other"),
        ("male", "male", "other"),
        ("a::b::c", "a", "other"),
    ],
)
def test_groups_and_kinds_of_single_traits(trait, group, kind):
    assert (find_group(trait), find_kind(trait)) == (group, kind)
