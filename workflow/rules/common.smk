"""What the rules share: the checked study, path templates, and named functions."""

import functools
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Jobs, and what follows here, use the library beside the Snakefile, whatever checkout
# the environment was made for: notes of origin say that they did.
sys.path.insert(0, str(workflow.basedir))
os.environ["PYTHONPATH"] = os.pathsep.join(
    dict.fromkeys([str(workflow.basedir), *os.environ.get("PYTHONPATH", "").split(":")])
).rstrip(os.pathsep)

# File names and logs are UTF-8 in all jobs, whatever the locale of this machine.
os.environ["PYTHONUTF8"] = "1"

import vitproto

if not Path(vitproto.__file__).samefile(f"{workflow.basedir}/vitproto/__init__.py"):
    raise WorkflowError(
        f"the library in {Path(vitproto.__file__).parent} is loaded already, but this "
        f"workflow is that of {workflow.basedir}: run it in a process of its own"
    )

from vitproto.activations.fetched import find_fetched, needs_hub
from vitproto.core.text_streams import print_utf8
from vitproto.core.unreadable import describe_file_system_error
from vitproto.study.family import write_families
from vitproto.study.run import Run
from vitproto.study.imported import imported_method, is_imported_sae
from vitproto.study.missing_inputs import missing_inputs as missing_of_study
from vitproto.study.read_study import resolve_and_check
from vitproto.study import addresses
from vitproto.freshness.code import bytecode
from vitproto.planning import disk
from vitproto.launch import on_slurm
from vitproto.freshness import sources
from vitproto.freshness.digests import Digests
from vitproto.launch.failures import Errors
from vitproto.launch.hooks import check_before_first_job, end_with_failures
from vitproto.planning.plan import written_by
from vitproto.launch.planned_jobs import planned_job, uses_gpu, write_job_list
from vitproto.launch.resource_requests import Requests
from vitproto.study.run_table import Family, expand_runs, families
from vitproto.launch.study_dag import decide_by_origins
from vitproto.launch.workflow_jobs import NEXT_LINE, note_origins

print_utf8()

# Rules, and all that follows here, read the study with what it takes from presets.
STUDY_FILES = [Path(file) for file in workflow.configfiles]
try:
    resolved = resolve_and_check(
        config,
        STUDY_FILES,
        project=Path(workflow.basedir),
        typed=workflow.config_settings.config,
    )
except ValueError as error:
    raise WorkflowError(f"This study cannot run.\n{error}")
config.clear()
config.update(resolved.config)
workflow.configfiles[:] = resolved.files

FAMILIES = families(expand_runs(config["runs"], config["encoders"]))
SAE_FAMILIES = [
    family for family in FAMILIES if family.method in config["methods"]["saes"]
]
IMPORTED_SAE_FAMILIES = [
    family for family in FAMILIES if is_imported_sae(config, family.method)
]
SAE_METHODS = "|".join(config["methods"]["saes"]) or "(?!)"
UNTRAINED = [
    name
    for name, cfg in config["methods"]["saes"].items()
    if cfg["trains"] == "nothing"
]
EVALUATED, FITTED = config["dataset"], config["fit_dataset"]
# What is made of these counts what they hold. If one is made again and comes out the
# same, nothing else runs again.
BY_CONTENT = frozenset(
    {
        *("list_cub200", "list_image_folder", "list_ade20k", "list_table"),
        *("read_traits", "read_trait_table"),
        *("check_images", "fetch_weights"),
    }
)
DIGESTS = Digests(Path("results/data/.digests.json"))
ERRORS = Errors()
REQUESTS = Requests(
    config, lambda rule, wildcards: uses_gpu(workflow.get_rule(rule), wildcards)
)
on_slurm.take_numbers_of_profile(REQUESTS, workflow.resource_settings)

# Where things lie. Paths hold what tables compare; all else stands in the files.
STUDY = f"results/{config['study']}"
LOGS = "results/logs"
DATA = "results/data/{dataset}"
SHARD = (
    config["storage"]["activations"]
    + "/{dataset}/{encoder}/{address}/shard-{i_shard}-of-{n_shards}.h5"
)
WEIGHTS = "results/weights/{encoder}.json"
CHECKPOINTS = (
    config["storage"]["checkpoints"] + "/{dataset}/{encoder}/layer{layer}/{method}"
)
IMAGES = f"{DATA}.images.csv".format(dataset=EVALUATED)
SPLITS = f"{DATA}.splits.csv".format(dataset=EVALUATED)
TRAITS = f"{STUDY}/{EVALUATED}.traits.npz"
LAYER = STUDY + "/{encoder}/layer{layer}"
FAMILY = LAYER + "/{method}"
STUDY_LOGS = f"{LOGS}/{config['study']}"
LAYER_LOGS = STUDY_LOGS + "/{encoder}/layer{layer}"
FAMILY_LOGS = LAYER_LOGS + "/{method}"
FEATURES = FAMILY + "/features/{run}{asked}"
SUPPRESSION = FAMILY + "/suppression/{run}"


wildcard_constraints:
    dataset=r"[a-z0-9][a-z0-9_.-]*",
    encoder=r"[a-z0-9][a-z0-9_.-]*",
    layer=r"\d+",
    method=r"[a-z]+",
    run=r"k\d+(-[a-z0-9.+-]+)?-seed\d+",
    asked=r"(\+\d+(,\d+)*)?",
    address=rf"[0-9a-f]{{{addresses.N_DIGITS}}}",
    i_shard=r"\d{5}",
    n_shards=r"\d{5}",


def flags(settings):
    """Settings as command-line flags, `--n_iters 20`, one a line, sorted by name."""
    lines = []
    for key, value in sorted(settings.items()):
        words = [f"--{key}", *(value if isinstance(value, list) else [value])]
        lines.append(shlex.join(map(str, words)))
    return NEXT_LINE.join(lines)


# What a method looks like in charts depends on which others the study has.
LOOKS = flags(
    {
        "methods": list(
            dict.fromkeys(
                run.method for run in expand_runs(config["runs"], config["encoders"])
            )
        ),
        "saes": list(config["methods"]["saes"]),
        "controls": UNTRAINED,
    }
)


# What a job reads ---------------------------------------------------------------


def naming_file_errors(find):
    """End the run with a sentence if the file system does not give out files."""

    @functools.wraps(find)
    def named(wildcards):
        try:
            return find(wildcards)
        except OSError as error:
            text = describe_file_system_error(error)
            raise WorkflowError(text or str(error)) from error

    return named


def with_layout(layout, drawn=False):
    """The names of the data sets of a layout, as a pattern; drawn ones, or all."""
    names = [
        name
        for name, dataset in config["datasets"].items()
        if dataset["layout"] == layout and (not drawn or "draw" in dataset)
    ]
    return "|".join(map(re.escape, names)) or "(?!)"


def drawn_data(wildcards):
    """The folder of a data set that the project draws; nothing for others."""
    is_drawn = "draw" in config["datasets"][wildcards.dataset]
    return DATA.format(dataset=wildcards.dataset) if is_drawn else []


@naming_file_errors
def list_sources(wildcards):
    """The files of a data set that say which images there are, and their splits."""
    name = wildcards.dataset
    return sources.of_list(name, config["datasets"][name])


@naming_file_errors
def trait_sources(wildcards):
    """The files of a data set that say which image shows which trait."""
    name = wildcards.dataset
    return sources.of_traits(name, config["datasets"][name])


@naming_file_errors
def image_sources(wildcards):
    """The images of a shard."""
    name = wildcards.dataset
    return sources.of_shard(
        name,
        config["datasets"][name],
        Path(f"{DATA}.images.csv".format(dataset=name)),
        int(wildcards.i_shard),
        int(wildcards.n_shards),
    )


@naming_file_errors
def checked_sources(wildcards):
    """All images of a data set, and its masks if it has any."""
    name = wildcards.dataset
    dataset = config["datasets"][name]
    listed = Path(f"{DATA}.images.csv".format(dataset=name))
    images = sources.of_shard(name, dataset, listed, 0, 1)
    if dataset["layout"] != "ade20k":
        return images
    return [*images, *sources.of_patch_labels(name, dataset)]


def encoder_sources(wildcards):
    """The files of an encoder that are missing."""
    return sources.of_encoder(wildcards.encoder, config["encoders"][wildcards.encoder])


def recording_sources(wildcards):
    """The images of a shard, and the missing files of its encoder."""
    return [*image_sources(wildcards), *encoder_sources(wildcards)]


def imported_sources(wildcards):
    """The files of an imported method that are missing."""
    files = imported_method(config, wildcards.method).files
    return sources.of_imported(wildcards.method, files)


@naming_file_errors
def mask_sources(wildcards):
    """The masks of the evaluated data set, and the names of its classes."""
    return sources.of_patch_labels(EVALUATED, config["datasets"][EVALUATED])


@naming_file_errors
def encoder_files(wildcards):
    """The files of an encoder: its folder's, its weights, the list of fetched ones."""
    encoder = config["encoders"][wildcards.encoder]
    files = []
    if encoder["model"].startswith("local-dir:"):
        folder = Path(encoder["model"].removeprefix("local-dir:"))
        files += map(str, sources.files_of_encoder(folder))
    # Where it is missing, `missing_inputs` says so in a sentence.
    weights = encoder["weights"]
    if weights not in ("hub", "random") and Path(weights).is_file():
        files.append(weights)
    return files + fetched_files(wildcards)


def fetched_files(wildcards):
    """The list of what an encoder needs of the hub; nothing for others."""
    encoder = config["encoders"][wildcards.encoder]
    is_needed = needs_hub(encoder["model"], encoder["weights"])
    return [WEIGHTS.format(encoder=wildcards.encoder)] if is_needed else []


def imported_methods(has_directions):
    """The names of the imported methods that are directions or autoencoders."""
    names = [
        name
        for name in config["methods"]["imported"]
        if imported_method(config, name).has_directions == has_directions
    ]
    return "|".join(map(re.escape, names)) or "(?!)"


def imported_file(wildcards):
    """The file of an imported method; nothing where it is missing."""
    return if_there(imported_method(config, wildcards.method).file)


def imported_cfg(wildcards):
    """The file beside the weights of SAELens that says how they are read."""
    return if_there(imported_method(config, wildcards.method).cfg)


def imported_mean(wildcards):
    """The file of the mean that an imported method subtracts, if it is there."""
    return if_there(imported_method(config, wildcards.method).mean)


def if_there(file):
    """A file; nothing where there is none."""
    return [] if file is None or not file.is_file() else str(file)


def shards(dataset, encoder):
    """All shards of a data set's activations, in order."""
    n_shards = config["datasets"][dataset]["n_shards"]
    return [
        SHARD.format(
            dataset=dataset,
            encoder=encoder,
            address=addresses.of_activations(config, dataset, encoder),
            i_shard=f"{i_shard:05d}",
            n_shards=f"{n_shards:05d}",
        )
        for i_shard in range(n_shards)
    ]


def evaluated_shards(wildcards):
    """The activations of the images whose traits are looked for."""
    return shards(EVALUATED, wildcards.encoder)


def fitted_shards(wildcards):
    """The activations that a family's prototypes are fitted to."""
    return shards(fit_dataset(wildcards), wildcards.encoder)


def fitted_splits(wildcards):
    """The splits of the images that a family's prototypes are fitted to."""
    return f"{DATA}.splits.csv".format(dataset=fit_dataset(wildcards))


def methods_with_a_script():
    """The methods that `scripts/fit_*.py` fit."""
    files = sorted(Path(workflow.basedir, "scripts").glob("fit_*.py"))
    return [file.stem.removeprefix("fit_") for file in files]


def same_centres(wildcards):
    """The family that finds the same centres, so that two jobs need not; if any."""
    family = Family(wildcards.encoder, int(wildcards.layer), "kmeans")
    if wildcards.method == "kmeans" or family not in FAMILIES:
        return []
    return f"{FAMILY}/checkpoints.json".format(**family._asdict())


def evaluated_data(wildcards):
    """The folder of the evaluated data set, if the project draws it."""
    is_drawn = "draw" in config["datasets"][EVALUATED]
    return DATA.format(dataset=EVALUATED) if is_drawn else []


def every_layer(template):
    """A path for each layer of an encoder that has families."""
    places = dict.fromkeys((family.encoder, family.layer) for family in FAMILIES)
    return [template.format(encoder=name, layer=layer) for name, layer in places]


def in_layer(template):
    """A function that gives a path for each family in a job's layer."""

    def paths(wildcards):
        place = (wildcards.encoder, int(wildcards.layer))
        here = [family for family in FAMILIES if family[:2] == place]
        return every_family(template, here)

    return paths


def first_of(values):
    """The first of the values of a run table's row; the value if it is only one."""
    return values[0] if isinstance(values, list) else values


def every_family(template, among=FAMILIES):
    """A path for each family of the run table, or of some of them."""
    return [template.format(**family._asdict()) for family in among]


# Parameters of jobs -------------------------------------------------------------


def runs_of_family(wildcards):
    """The names of the runs that a family holds: `k128-seed0 k512-seed0`."""
    family = Family(wildcards.encoder, int(wildcards.layer), wildcards.method)
    return [run.name for run in FAMILIES[family]]


def family_scores(wildcards):
    """The scores of a family."""
    family = Family(wildcards.encoder, int(wildcards.layer), wildcards.method)
    address = addresses.of_scores(config, family, runs_of_family(wildcards))
    return SCORES.format(**wildcards, address=address)


def fit_dataset(wildcards):
    """The data set that a family's prototypes are fitted to."""
    return EVALUATED if wildcards.method == "randomtrain" else FITTED


def label_flags(wildcards):
    """What the answers of annotators count as, and how many images choose."""
    selection = config["selection"]
    return flags({**selection["labels"], "n_train": selection["n_train"]})


def n_train_flags(wildcards):
    """How many images choose."""
    return flags({"n_train": config["selection"]["n_train"]})


def split_flags(wildcards):
    """How the images of a table are divided if it does not say."""
    table = config["datasets"][wildcards.dataset]["table"]
    return flags({key: value for key, value in table.items() if key != "file"})


def kmeans_score(wildcards):
    """The score of a patch at a centre of k-means."""
    return {"kmeans": "dot", "kmeansdistance": "distance"}[wildcards.method]


def sae_flags(wildcards):
    """The architecture and training of a kind of sparse autoencoder."""
    return flags(config["methods"]["saes"][wildcards.method])


def reading_flags(wildcards):
    """How the file of an imported method is read; None where the study does not say."""
    sae = imported_method(config, wildcards.method)
    return flags(
        {
            "subtract_b_dec_before_encoding": sae.subtract_b_dec_before_encoding,
            "scaling_norm": sae.norm,
        }
    )


def drawing_flags(wildcards):
    """The settings of a data set that the project draws."""
    return flags(config["datasets"][wildcards.dataset]["draw"])


def encoder_flags(wildcards):
    """The model, sizes and recorded layers of an encoder."""
    encoder = config["encoders"][wildcards.encoder]
    sizes = ("image_size", "patch_size", "width", "n_blocks")
    what = ("model", "pretrained", *sizes, "layers")
    return flags({key: encoder[key] for key in what})


def encoder_alone_flags(wildcards):
    """The model and sizes of an encoder, and the type that a GPU computes in."""
    encoder = config["encoders"][wildcards.encoder]
    what = ("model", "pretrained", "image_size", "patch_size", "width", "n_blocks")
    compute_dtype = config["record"]["compute_dtype"]
    return flags({key: encoder[key] for key in what} | {"compute_dtype": compute_dtype})


def fetching_flags(wildcards):
    """What an encoder needs from the hub: its weights, or its configuration only."""
    encoder = config["encoders"][wildcards.encoder]
    needs = "weights" if encoder["weights"] == "hub" else "config"
    return flags(
        {"needs": needs} | {key: encoder[key] for key in ("model", "pretrained")}
    )


def is_random(wildcards):
    """Whether an encoder is a control with random weights."""
    return config["encoders"][wildcards.encoder]["weights"] == "random"


# Where and how a job runs -------------------------------------------------------
# A result's note holds the parameters that made it, except those whose functions ask
# for `threads`. These ask for it although they do not need it:
# a data set that moved or another batch size changes no result and reruns nothing.


def data_root(wildcards, threads):
    """The folder of a data set."""
    dataset = config["datasets"][wildcards.dataset]
    return dataset.get("root", DATA.format(dataset=wildcards.dataset))


def table_file(wildcards, threads):
    """The file of a table of traits."""
    return config["datasets"][wildcards.dataset]["table"]["file"]


def evaluated_root(wildcards, threads):
    """The folder of the evaluated data set."""
    dataset = config["datasets"][EVALUATED]
    return dataset.get("root", DATA.format(dataset=EVALUATED))


def weights(wildcards, threads):
    """The file of an encoder's weights, or `hub`, or `random`."""
    return config["encoders"][wildcards.encoder]["weights"]


def hub_flags(wildcards, threads):
    """The folder for fetched files, and the list of an encoder's if it needs any."""
    fetched = fetched_files(wildcards)
    listed = {"fetched": fetched} if fetched else {}
    return flags({"hub_cache": config["storage"]["weights"], **listed})


def beside_flags(wildcards, threads):
    """The files that say how an imported method's file is read; None without them."""
    sae = imported_method(config, wildcards.method)
    return flags({"saelens_cfg": sae.cfg, "scaling_mean": sae.mean})


def encoder_title(wildcards, threads):
    """An encoder in messages: `siglip: ViT-L-16-SigLIP-256 (webli)`."""
    encoder = config["encoders"][wildcards.encoder]
    return f"{wildcards.encoder}: {encoder['model']} ({encoder['pretrained']})"


def hub_cache(wildcards, threads):
    """The folder for what is fetched from the hub."""
    return config["storage"]["weights"]


def device(wildcards, threads):
    """The CPU or a GPU."""
    return flags({"device": config["how"]["device"]})


def probe_flags(wildcards, threads):
    """The device, and the time between saved states."""
    return flags({key: config["how"][key] for key in ("device", "save_every_s")})


def training_flags(wildcards, threads):
    """The device, the time between saved states, and whether TensorBoard logs."""
    keys = ("device", "save_every_s", "tensorboard")
    return flags({key: config["how"][key] for key in keys})


def checkpoint_store(wildcards, threads):
    """The folder of a family's checkpoints, which studies share."""
    return CHECKPOINTS.format(dataset=fit_dataset(wildcards), **wildcards)


def centre_store(wildcards, threads):
    """The folder of the checkpoints of k-means, which fits centres for both scores."""
    found = {**wildcards, "method": "kmeans"}
    return CHECKPOINTS.format(dataset=fit_dataset(wildcards), **found)


def checked_as(wildcards):
    """How the files of a data set are laid out, and how grey images are scaled."""
    layout = config["datasets"][wildcards.dataset]["layout"]
    return flags({"layout": layout, "grey_range": config["record"]["grey_range"]})


def most_pixels(wildcards, threads):
    """How large an image may be."""
    return flags({"most_pixels": config["how"]["most_pixels"]})


def recording_speed(wildcards, threads):
    """Device, batch size, and how large an image may be."""
    keys = ("device", "batch_size", "most_pixels")
    return flags({key: config["how"][key] for key in keys})


# What is checked before the first job --------------------------------------------


def jobs_due():
    """The jobs that are to run."""
    return [job for job in workflow.dag.needrun_jobs() if not job.rule.norun]


def missing_inputs():
    """Sentences about missing data and weights, and the keys to set."""
    jobs = jobs_due()
    with_data = [job for job in jobs if "root" in job.params.keys()]
    # A job whose paths do not name a data set reads the evaluated one.
    datasets = {job.wildcards.get("dataset", EVALUATED) for job in with_data}
    with_encoder = [job for job in jobs if "weights" in job.params.keys()]
    imports = [job for job in jobs if job.rule.name.startswith("import_")]
    missing = missing_of_study(
        config,
        datasets=datasets,
        encoders={job.wildcards.encoder for job in with_encoder},
        imported={job.wildcards.method for job in imports},
    )
    if not missing:
        return []
    files = ", ".join(map(str, STUDY_FILES))
    return [*missing, f"Set these keys in {files}."]


def missing_weights():
    """Sentences about fetched files that are gone and that no job will fetch again."""
    jobs = jobs_due()
    due = {job.wildcards.encoder for job in jobs if job.rule.name == "fetch_weights"}
    loading = {
        job.wildcards.encoder: job.wildcards
        for job in jobs
        if "weights" in job.params.keys() and job.wildcards.encoder not in due
    }
    problems = []
    for encoder in sorted(loading):
        for fetched in fetched_files(loading[encoder]):
            try:
                find_fetched(Path(fetched), Path(config["storage"]["weights"]))
            except ValueError as error:
                problems.append(str(error))
    return problems


def small_disks():
    """Sentences about disks that are too small for what jobs will write."""
    jobs = jobs_due()
    planned = written_by(map(planned_job, jobs), config)
    written = [
        written.less(bytes_there(job))
        for job, written in zip(jobs, planned, strict=True)
    ]
    return disk.shortages(disk.Need.of(written, config["storage"], "results"))


def refusals_of_slurm():
    """Sentences about jobs that SLURM would refuse; none if it does not run them."""
    if workflow.executor_plugin.name != "slurm":
        return []
    return on_slurm.refusals(jobs_due(), workflow, REQUESTS)


def jobs_left_on_slurm():
    """Sentences about SLURM jobs of an earlier run that make the same results."""
    return on_slurm.jobs_left(jobs_due(), workflow, config["study"])


def bytes_there(job):
    """The size of the files that a job will replace or keep."""
    files = [Path(file) for file in job.output]
    # Named by run and digest. Those of another digest are few, and made anew.
    if "store" in job.params.keys():
        stored = list(Path(job.params.store).glob("*.safetensors"))
        runs = set(job.params.runs)
        files += [file for file in stored if file.name.rsplit(".", 2)[0] in runs]
    return sum(file.stat().st_size for file in files if file.is_file())
