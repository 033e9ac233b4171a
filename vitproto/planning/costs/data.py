"""The costs of drawing and of listing images."""

from vitproto.planning.costs.job import Cost, PlannedJob, Written
from vitproto.planning.costs.sizes import (
    CHARTS,
    N_TRAITS,
    NAME,
    PANDAS,
    StudySizes,
    count_images,
)


def draw_demo_birds(job: PlannedJob, study: StudySizes) -> Cost:
    dataset = job.wildcards["dataset"]
    draw = study.config["datasets"][dataset]["draw"]
    # A drawing has few colours: as a JPEG, half a byte a pixel at most.
    n_bytes = 0.5 * draw["image_size"] ** 2 * count_images(study.config, dataset)
    return study.cost(0, 0, CHARTS, Written(results=n_bytes))


draw_demo_corpus = draw_demo_scenes = draw_demo_birds


def list_cub200(job: PlannedJob, study: StudySizes) -> Cost:
    return _read_text(job, study, bytes_per_image=2 * NAME)


list_image_folder = list_ade20k = list_table = list_cub200


def read_traits(job: PlannedJob, study: StudySizes) -> Cost:
    return _read_text(job, study, bytes_per_image=2 * NAME + N_TRAITS)


read_trait_table = read_traits


def _read_text(job: PlannedJob, study: StudySizes, bytes_per_image: int) -> Cost:
    n_bytes = bytes_per_image * count_images(study.config, job.wildcards["dataset"])
    memory = PANDAS + 20 * n_bytes
    return study.cost(0, n_bytes, memory, Written(results=n_bytes))
