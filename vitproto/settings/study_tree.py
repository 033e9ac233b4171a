"""All keys of a study's configuration, as types.

What a method or stage is told is a dataclass beside its code, and stands here by its
name; all else stands here alone. `make settings` makes the schema and the reference
from these types: the text under a field is its help.

A field whose type allows None may be left out. A field with a default is not a key of a
configuration: the workflow sets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from vitproto.activations.encoder import EncoderSettings
from vitproto.core.bounds import (
    AtLeast,
    AtMost,
    Count,
    Index,
    Items,
    Matches,
    NotNegative,
    Positive,
    Says,
)
from vitproto.data.label_rule import LabelRule
from vitproto.data.stratified_split import TableSplit
from vitproto.demo.write_birds import DemoBirds
from vitproto.demo.write_corpus import DemoCorpus
from vitproto.demo.write_scenes import DemoScenes
from vitproto.features.choice import Choice
from vitproto.prototypes.kmeans import KMeans
from vitproto.prototypes.sae.evaluation import HeldOut
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.segmentation.probes.training import ProbeSettings
from vitproto.segmentation.suppression.class_latents import RankingSettings
from vitproto.segmentation.suppression.edits import Dose, SuppressionSettings
from vitproto.traits.trait_probes import TraitProbeSettings

T = TypeVar("T")
OneOrMore = T | Annotated[tuple[T, ...], Items(least=1, different=False)]

Name = Annotated[
    str,
    Matches("^[a-z0-9][a-z0-9_.-]*$"),
    Says("a name of small letters, digits, dots, - and _ (it becomes part of paths)"),
]
MethodName = Annotated[
    str,
    Matches("^[a-z]+$"),
    Says("a name of small letters only (it becomes a method)"),
]
RunName = Annotated[
    str, Says("the name of a run, such as k512-lr0.003-sparsity8-seed0")
]
Folder = Annotated[str, Says("the path of a folder")]


@dataclass(frozen=True)
class TraitTable(TableSplit):
    """A CSV file with a row for each image and a column for each trait, and how images
    are divided if it has no column `split`."""

    file: Annotated[str, Says("the path of a CSV file")]
    """The file. Its column `image` holds paths below `root`; `split` (train or test)
    and `group` (never in both splits) may be there; all others are traits."""


@dataclass(frozen=True)
class DataSet:
    """A data set: files of your own (`root`), or drawn by the project (`draw`)."""

    layout: Literal["cub200", "table", "image_folder", "ade20k"]
    """How its files are laid out. `cub200`: the official folder, or image folders with
    `metadata/`; `table`: a folder of images, and a CSV file with their traits;
    `image_folder`: one folder of images per class; `ade20k`: `images/` and
    `annotations/` with `training/` and `validation/`, and `objectInfo150.txt`."""
    root: Folder | None
    """The folder where it lies."""
    n_images: Count | None
    """With `root`: roughly how many images it has, to plan disk, memory and time, and
    what jobs ask SLURM for. `make plan` says if the data set differs by more than a
    tenth."""
    draw: Annotated[
        DemoBirds | DemoCorpus | DemoScenes | None,
        Says("the settings of a data set that the project draws itself"),
    ]
    """Instead of `root`: what the project draws."""
    table: TraitTable | None
    """With layout `table`: where traits and splits come from."""
    n_shards: Count
    """Number of files, and of jobs, into which its activations are cut. Results do not
    depend on it."""


@dataclass(frozen=True, kw_only=True)
class Encoder(EncoderSettings):
    """A vision transformer."""

    layers: Annotated[
        tuple[Index, ...],
        Items(least=1, different=True),
        Says("a list of different layers, such as [13, 23]"),
    ]
    """Blocks whose output is recorded, counted from 0, all in one pass."""


@dataclass(frozen=True)
class Record:
    """How activations are recorded."""

    dtype: Literal["float16", "float32"]
    """How activations are stored. `float16` halves the files and is refused where a
    value would overflow."""
    compute_dtype: Literal["float32", "bfloat16"]
    """The type that a GPU computes in. A CPU always computes in `float32`."""
    grey_range: Literal["type", "file"]
    """How grey images of more than 8 bits are scaled. `type`: 16-bit grey from 0 to
    65,535, floating-point grey from 0 to 1, and others are refused. `file`: from the
    lowest to the highest value of each image, so that the brightness of images cannot
    be compared."""


@dataclass(frozen=True)
class Selection:
    """The training images on which prototypes are selected for traits, and the labels
    that select them."""

    n_train: Annotated[
        tuple[
            Annotated[
                Count | Literal["all"], Says("a whole number of at least 1, or all")
            ],
            ...,
        ],
        Items(least=1, different=True),
        Says("a list of different numbers of training images, such as [16, 64, all]"),
    ]
    """Numbers of training images, and `all`."""
    seeds: Annotated[
        tuple[Index, ...],
        Items(least=1, different=True),
        Says("a list of different seeds, such as [0, 1, 2]"),
    ]
    """Seeds of the random subsets, and of the draw among prototypes of equal AP. A
    smaller subset is part of a larger one."""
    n_resamples: Annotated[int, AtLeast(100), AtMost(100_000)]
    """Resamples of the test images, from which intervals are made."""
    n_permutations: Annotated[int, AtLeast(20), AtMost(100_000)]
    """Permutations of the labels that show what mAP selection reaches without any
    relation of images to traits."""
    labels: LabelRule
    """What the answers of annotators count as."""
    probes: TraitProbeSettings
    """Supervised probes with the same labels, with which prototypes are compared."""


@dataclass(frozen=True)
class Scaling:
    """How activations are scaled before an autoencoder takes them: it sees
    z = (x - mean) / norm, and its reconstruction is scaled back."""

    mean: Annotated[str, Says("the path of a file of torch.save")] | None
    """A file of `torch.save` with a tensor: a value for each dimension. 0 if left
    out."""
    norm: Positive | None
    """One number for all dimensions. 1 if left out."""


@dataclass(frozen=True)
class ImportedMethod:
    """The file of an autoencoder or of directions, and how it is read. A path alone
    will do if nothing else is to be said."""

    file: Annotated[str, Says("the path of a file")]
    """An autoencoder: a `sae.pt` of the saev project, a `sae_weights.safetensors` of
    SAELens with its `cfg.json` beside it, or another `.safetensors` file: a checkpoint
    of another study here. Or a matrix of directions, one a row: an `.npy` file, or a
    `.csv` file without a header."""
    holds: Literal["autoencoder", "directions"] | None
    """`directions` for a `.safetensors` file with a single tensor, a direction in each
    row. If left out, `.npy` and `.csv` hold directions, and all others an
    autoencoder."""
    subtract_b_dec_before_encoding: bool | None
    """Whether the encoder of a `sae.pt` takes x - `b_dec` instead of x. If left out,
    the header of the file decides, by its schema and by the commit that it names."""
    scaling: Scaling | None
    """For a `sae.pt` that was trained on scaled activations, as most of those without
    schema or of schema 1 were: the file does not say. If left out, activations are not
    scaled."""


@dataclass(frozen=True)
class Methods:
    """Ways of making prototypes; `random`, `randomtrain`, `gaussian` and `pca` have no
    settings."""

    kmeans: KMeans
    """For `kmeans` and `kmeansdistance`."""
    saes: Mapping[MethodName, SaeSettings]
    """A kind of sparse autoencoder; NAME becomes a method."""
    imported: Annotated[
        Mapping[
            MethodName,
            Annotated[
                Annotated[str, Says("the path of a file")] | ImportedMethod,
                Says("the path of a file, or a section that has it as file"),
            ],
        ],
        Says("one file per imported method, headed by its name, or {} for none"),
    ]
    """The file of an autoencoder or of directions, or a section with its `file` and how
    it is read; NAME becomes a method. Autoencoders are a `sae.pt` of the
    [saev](https://github.com/OSU-NLP-Group/saev) project, a
    `sae_weights.safetensors` of [SAELens](https://github.com/decoderesearch/SAELens)
    with its `cfg.json` beside it, or another `.safetensors` file, a checkpoint of
    another study here. Directions are a matrix with one in each row, in an `.npy` or
    `.csv` file. `{}` for none."""


@dataclass(frozen=True)
class RunRow:
    """A run, or one run per combination of the lists in the row."""

    encoder: OneOrMore[Name]
    """The encoder whose activations are used."""
    layer: OneOrMore[Index]
    """A block that the encoder records."""
    method: OneOrMore[Name]
    """The method that makes the prototypes."""
    n_prototypes: OneOrMore[Count] | None
    """Number of prototypes."""
    exp_factor: OneOrMore[Count] | None
    """Instead of `n_prototypes`: a multiple of the encoder's width."""
    learning_rate: OneOrMore[Positive] | None
    """For autoencoders that are trained: the largest learning rate."""
    sparsity: OneOrMore[NotNegative] | None
    """For autoencoders: the weight of the L1 norm (`relu`), or the number of latents
    that may be active (`topk`, `batchtopk`), or that should be, on average
    (`jumprelu`). A weight w of a loss that averages squared errors over the D
    dimensions of activations of mean norm n, as saev's does, is w · D / n here."""
    seed: OneOrMore[Index]
    """Decides what is drawn. `pca` and imported methods draw nothing: 0."""


@dataclass(frozen=True)
class SuppressedSae:
    """An autoencoder whose latents are suppressed."""

    layer: Index
    """The probes' layer, or an earlier one."""
    method: Name
    """A method of `methods.saes` or `methods.imported`."""
    run: RunName
    """A run of this method, as `make runs` lists it."""
    classes: Annotated[
        Mapping[
            int,
            Annotated[
                tuple[Index, ...],
                Items(least=1, different=True),
                Says("a list of different latents, such as [8541, 5818]"),
            ],
        ],
        Says("latents that you choose yourself, such as {29: [8541, 5818]}, or {}"),
    ]
    """Latents that you choose yourself, by label, such as `{29: [8541, 5818, 10230]}`,
    or `{}`."""


@dataclass(frozen=True, kw_only=True)
class Suppression(SuppressionSettings):
    """How much latents are suppressed, and the controls to compare with."""

    dose: Dose
    """The one of `doses` that tables of classes show. Autoencoders are
    compared at equal edit length, which uses all doses."""


@dataclass(frozen=True)
class Pictures:
    """Images that are shown with masks and predictions."""

    classes: Annotated[
        tuple[Count, ...],
        Items(least=0, different=True),
        Says("a list of different labels, such as [3, 29]"),
    ]
    """Classes that are shown, by label."""
    n_images: Count
    """Images of each class."""


@dataclass(frozen=True)
class Segmentation:
    """Linear probes for the classes of a data set of layout `ade20k`, and the latents
    that they rely on."""

    encoder: Name
    """The encoder whose patches the probes classify."""
    layer: Index
    """The block that the probes read, counted from 0."""
    probes: ProbeSettings
    """How probes are trained, and on which training images one of them is chosen."""
    ranking: RankingSettings
    """How the latents that detect a class are found."""
    n_gradient_images: Count
    """Training images over which a class's direction is averaged where the
    autoencoder's layer is earlier than the probes'."""
    saes: Annotated[
        tuple[SuppressedSae, ...],
        Items(least=1, different=False),
        Says("a list of autoencoders, each with layer, method, run and classes"),
    ]
    """The autoencoders whose latents are suppressed."""
    suppression: Suppression
    """The values that latents are set to, and the controls to compare with."""
    pictures: Pictures
    """Images that are shown with masks and predictions."""


@dataclass(frozen=True)
class ShownRun:
    """A run whose prototypes are shown."""

    encoder: Name
    """The encoder of the run."""
    layer: Index
    """The layer of the run."""
    method: Name
    """The method of the run."""
    run: RunName
    """The name of the run, as `make runs` lists it."""


@dataclass(frozen=True, kw_only=True)
class Features(Choice):
    """Prototypes that are shown with the images and patches that drive them, in
    `results/STUDY/…/features/`."""

    runs: Annotated[
        tuple[ShownRun, ...],
        Items(least=0, different=False),
        Says("a list of runs, each with encoder, layer, method and run"),
    ]
    """The runs whose prototypes are shown."""
    n_images: Count
    """Images for each prototype, and in each row of images on the page of a trait."""


@dataclass(frozen=True)
class Storage:
    """Folders for large files. Studies can share them: what another study fitted with
    the same code and settings to the same data is not fitted again. Here, as in all
    paths of a study, `~`, `$VAR` and `${VAR}` mean what they mean in a shell."""

    activations: Folder
    """Activations of all patches."""
    checkpoints: Folder
    """Fitted prototypes."""
    weights: Folder
    """Files from the Hugging Face hub, in its client's form: an existing cache will
    do."""
    scores: Folder | None
    """With `selection`: scores of all images for all prototypes. Those of the chosen
    prototypes lie among the results, and tables need no others."""


@dataclass(frozen=True)
class How:
    """How jobs run. Changing this reruns nothing."""

    device: Annotated[
        str,
        Matches("^(auto|cpu|cuda(:[0-9]+)?)$"),
        Says("auto, cpu, cuda or cuda:1"),
    ]
    """Where jobs compute. `auto`: on a GPU if there is one."""
    batch_size: Count
    """Images in one pass through an encoder on a GPU."""
    most_pixels: Count
    """An image with more pixels is refused, before it fills the memory."""
    save_every_s: Positive
    """Seconds between the states from which a killed training goes on."""
    tensorboard: bool
    """Whether trainings also log for TensorBoard, to
    `STUDY/ENCODER/layerN/METHOD/tensorboard` (`pip install tensorboard`)."""


@dataclass(frozen=True)
class Throughput:
    """Rates of your machines, from which `make plan` computes hours, and jobs the time
    that they ask SLURM for. `results/STUDY/cost_table.md` has what a finished study
    took, to correct them by."""

    measured_on: str
    """Where these rates come from, in words; the plan repeats it."""
    gpu_flops: NotNegative
    """Operations a second of encoders and of products with prototypes on a GPU; 0: no
    GPU."""
    cpu_flops: Positive
    """The same on all cores of a job."""
    disk_bytes: Positive
    """Bytes a second that a job reads or writes."""
    ranked_scores: Positive
    """Scores a second of which average precision is computed."""
    job_s: Positive
    """Seconds until a job starts to work."""


@dataclass(frozen=True)
class Study:
    """A study."""

    presets: (
        Annotated[
            tuple[str, ...],
            Items(least=0, different=True),
            Says("a list of different files below config/presets, without .yaml"),
        ]
        | None
    )
    """Files below `config/presets/`, without `.yaml`, whose keys the study takes over.
    Later ones win, and the study's own keys win over all."""
    study: Name
    """The study's name; its results go to `results/STUDY/`."""
    dataset: Name
    """The labelled data set, of layout `cub200` or `table` (traits are looked for; with
    `selection`) or `ade20k` (pixels are classified; with `segmentation`)."""
    fit_dataset: Name
    """The data set that prototypes are fitted to; may be the same. Nothing is ever
    fitted to test or validation images."""
    datasets: Annotated[
        Mapping[Name, DataSet], Says("one section per data set, headed by its name")
    ]
    """The data sets, by name."""
    encoders: Annotated[
        Mapping[Name, Encoder], Says("one section per encoder, headed by its name")
    ]
    """The encoders, by name."""
    record: Record
    """How activations are recorded."""
    selection: Selection | None
    """With a data set of layout `cub200` or `table`: how prototypes are selected."""
    methods: Methods
    """Ways of making prototypes."""
    held_out: HeldOut
    """Training images of `fit_dataset` that autoencoders are measured on."""
    runs: Annotated[
        tuple[RunRow, ...],
        Items(least=1, different=False),
        Says(
            "a list of runs, each with encoder, layer, method, seed, and n_prototypes "
            "or exp_factor"
        ),
    ]
    """The runs to compare. `make runs` lists them all."""
    segmentation: Segmentation | None
    """With a data set of layout `ade20k`: the probes, and the latents to suppress."""
    features: Features
    """Prototypes that are shown with the images and patches that drive them."""
    storage: Storage
    """Folders for large files."""
    how: How
    """How jobs run. Changing this reruns nothing."""
    throughput: Throughput
    """Rates of your machines, for `make plan` and SLURM."""
