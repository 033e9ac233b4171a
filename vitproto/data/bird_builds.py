"""How birds of each overall shape are built, and where they are seen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Build:
    """How birds of one overall shape are built and where they are seen.

    Lengths are in body lengths, angles in degrees, choices as "name:weight ...".
    """

    weight: int
    depth: float
    lean: float
    neck: float
    neck_angle: float
    head: float
    leg: float
    tail: float
    bills: str
    bill_ratio: tuple[float, float]
    tails: str
    wings: str
    sizes: str
    places: str
    nouns: str


BUILDS = {
    "perching-like": Build(
        *(40, 0.56, 30, 0.05, 70, 0.215, 0.2, 0.5),
        bills="all-purpose:45 cone:37 dagger:5 hooked:6 curved_(up_or_down):5 needle:2",
        bill_ratio=(0.38, 0.8),
        tails="notched_tail:28 rounded_tail:22 squared_tail:24 forked_tail:10 "
        "fan-shaped_tail:8 pointed_tail:8",
        wings="rounded-wings:60 pointed-wings:25 broad-wings:15",
        sizes="small:62 very_small:22 medium:16",
        places="branch:50 leaves:12 ground:9 reeds:12 snow:7 flight:10",
        nouns="Fernling Brambler Thistlebird Hedgewren Larkin Tanagril Orchardine "
        "Willowchat Meadowlet Finchel Bunterling Sparrel Warbelin Thrushel Grosbill",
    ),
    "duck-like": Build(
        *(6, 0.47, 4, 0.2, 75, 0.175, 0.14, 0.22),
        bills="spatulate:80 hooked_seabird:12 dagger:8",
        bill_ratio=(0.75, 1.05),
        tails="pointed_tail:40 rounded_tail:40 squared_tail:20",
        wings="pointed-wings:70 tapered-wings:30",
        sizes="medium:55 large:45",
        places="swim:76 shore:10 snow:4 flight:10",
        nouns="Mereduck Pondling Tealet Mallowduck Scoterel",
    ),
    "gull-like": Build(
        *(8, 0.43, 9, 0.08, 68, 0.17, 0.24, 0.3),
        bills="hooked_seabird:72 dagger:28",
        bill_ratio=(0.7, 1.05),
        tails="squared_tail:40 forked_tail:30 rounded_tail:30",
        wings="long-wings:50 tapered-wings:30 pointed-wings:20",
        sizes="medium:60 large:40",
        places="flight:42 shore:36 swim:22",
        nouns="Harbourgull Ternling Skerrygull Kittiwing Galewing",
    ),
    "long-legged-like": Build(
        *(4, 0.44, 24, 0.62, 72, 0.115, 0.72, 0.2),
        bills="dagger:60 curved_(up_or_down):25 spatulate:15",
        bill_ratio=(1.5, 2.2),
        tails="squared_tail:60 rounded_tail:40",
        wings="broad-wings:60 long-wings:40",
        sizes="large:50 very_large:50",
        places="wade:76 reeds:16 flight:8",
        nouns="Heronel Egretta Stiltcrane Bitternell",
    ),
    "sandpiper-like": Build(
        *(5, 0.47, 13, 0.14, 66, 0.15, 0.4, 0.2),
        bills="needle:60 curved_(up_or_down):25 all-purpose:15",
        bill_ratio=(1.0, 2.0),
        tails="squared_tail:50 rounded_tail:30 pointed_tail:20",
        wings="pointed-wings:70 tapered-wings:30",
        sizes="small:65 medium:35",
        places="shore:55 wade:37 flight:8",
        nouns="Mudpiper Dunlet Stintling Strandrunner",
    ),
    "hummingbird-like": Build(
        *(4, 0.42, 46, 0.05, 66, 0.18, 0.06, 0.42),
        bills="needle:75 curved_(up_or_down):25",
        bill_ratio=(1.05, 1.7),
        tails="forked_tail:35 notched_tail:25 fan-shaped_tail:20 rounded_tail:20",
        wings="pointed-wings:50 tapered-wings:50",
        sizes="very_small:100",
        places="flight:72 branch:28",
        nouns="Nectarine Humlet Sunsipper Emeraldine",
    ),
    "owl-like": Build(
        *(4, 0.7, 74, 0.0, 88, 0.31, 0.1, 0.26),
        bills="hooked:100",
        bill_ratio=(0.3, 0.4),
        tails="rounded_tail:50 squared_tail:50",
        wings="rounded-wings:50 broad-wings:50",
        sizes="small:35 medium:40 large:25",
        places="branch:72 snow:14 leaves:14",
        nouns="Owlet Hootling Duskowl",
    ),
    "hawk-like": Build(
        *(5, 0.53, 54, 0.04, 76, 0.19, 0.2, 0.5),
        bills="hooked:100",
        bill_ratio=(0.45, 0.65),
        tails="fan-shaped_tail:40 rounded_tail:30 squared_tail:30",
        wings="broad-wings:60 rounded-wings:20 pointed-wings:20",
        sizes="medium:50 large:50",
        places="branch:48 flight:42 snow:10",
        nouns="Hawkel Kestrine Buzzardel Goshling",
    ),
    "swallow-like": Build(
        *(4, 0.4, 20, 0.0, 62, 0.17, 0.1, 0.58),
        bills="all-purpose:100",
        bill_ratio=(0.26, 0.36),
        tails="forked_tail:70 notched_tail:30",
        wings="pointed-wings:40 tapered-wings:60",
        sizes="small:100",
        places="flight:60 branch:40",
        nouns="Swiftlet Martinel Swallowtail",
    ),
    "tree-clinging-like": Build(
        *(5, 0.45, 70, 0.07, 70, 0.195, 0.14, 0.42),
        bills="dagger:65 all-purpose:20 curved_(up_or_down):15",
        bill_ratio=(0.72, 1.15),
        tails="pointed_tail:75 notched_tail:25",
        wings="rounded-wings:60 broad-wings:40",
        sizes="small:50 medium:50",
        places="trunk:90 flight:10",
        nouns="Barkpecker Creeperling Flickel",
    ),
    "pigeon-like": Build(
        *(3, 0.57, 20, 0.15, 72, 0.145, 0.15, 0.46),
        bills="all-purpose:100",
        bill_ratio=(0.5, 0.75),
        tails="rounded_tail:40 squared_tail:30 fan-shaped_tail:30",
        wings="broad-wings:50 pointed-wings:50",
        sizes="medium:100",
        places="ground:42 branch:36 snow:8 flight:14",
        nouns="Dovelin Cushat Columbel",
    ),
    "chicken-like-marsh": Build(
        *(3, 0.57, 14, 0.18, 70, 0.15, 0.34, 0.16),
        bills="cone:60 dagger:40",
        bill_ratio=(0.5, 0.8),
        tails="pointed_tail:50 rounded_tail:50",
        wings="rounded-wings:100",
        sizes="medium:70 small:30",
        places="reeds:40 wade:35 swim:25",
        nouns="Railing Cootel Mooring",
    ),
    "upland-ground-like": Build(
        *(3, 0.64, 12, 0.17, 72, 0.135, 0.22, 0.34),
        bills="cone:60 hooked:40",
        bill_ratio=(0.4, 0.6),
        tails="fan-shaped_tail:50 pointed_tail:30 rounded_tail:20",
        wings="rounded-wings:100",
        sizes="medium:50 large:50",
        places="ground:75 snow:25",
        nouns="Grousel Quailing Heathcock",
    ),
    "upright-perching_water-like": Build(
        *(4, 0.38, 60, 0.36, 78, 0.125, 0.1, 0.34),
        bills="hooked_seabird:60 dagger:25 specialized:15",
        bill_ratio=(1.0, 1.6),
        tails="squared_tail:40 rounded_tail:40 pointed_tail:20",
        wings="long-wings:50 pointed-wings:50",
        sizes="large:70 very_large:30",
        places="rock:60 branch:16 swim:24",
        nouns="Shagling Cormorel Skerrydarter",
    ),
}
"""The fourteen overall shapes of CUB-200-2011."""
