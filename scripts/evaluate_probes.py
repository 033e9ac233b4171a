"""Evaluate the linear probes of a sweep on the test images, and keep the best."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.csv_file import write_csv
from vitproto.core.device import pick_device
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.segmentation.labels.patch_labels import read_patch_labels
from vitproto.segmentation.probes.evaluation import (
    evaluate,
    find_best,
    to_class_table,
    to_probe_table,
)
from vitproto.segmentation.probes.linear_probe import (
    check_trained_on,
    load_probes,
    read_probe_settings,
    save_probe,
)


def evaluate_probes(
    shards: tuple[Path, ...],
    layer: int,
    patch_labels: Path,
    probes: Path,
    probe_metrics: Path,
    probe: Path,
    baseline: Path,
    *,
    device: str,
) -> None:
    """Evaluate all probes of a sweep in one pass over the test images; keep the best.

    Logits are upsampled to the masks' resolution. The best probe has the highest mIoU
    on the test images; among equals, the first.

    Args:
        shards: all shards of the activations that the probes were trained on.
        layer: the block, from 0.
        patch_labels: the HDF5 file with the masks.
        probes: the safetensors file with all probes.
        probe_metrics: the CSV file to write, with a row for each probe.
        probe: the safetensors file to write, with the best probe.
        baseline: the CSV file to write, with the best probe's results for each class.
        device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    trained = load_probes(probes)
    trained[0].probe.check(probes, acts, labels.n_classes)
    check_trained_on(probes, acts, shards[0])
    heads = [each.probe for each in trained]
    evaluation = evaluate(acts, labels, heads, torch_device)
    counts, i_best = evaluation.counts, find_best(evaluation.counts)
    best, miou = trained[i_best], float(counts.miou[i_best])
    settings = {
        **{"learning_rate": best.learning_rate, "weight_decay": best.weight_decay},
        **{"miou": miou, "sweep": read_probe_settings(probes)},
        "code": fingerprint("evaluate_probes"),
    }
    save_probe(probe, best.probe, settings)
    write_csv(probe_metrics, to_probe_table(trained, counts))
    write_csv(baseline, to_class_table(labels.classes, evaluation, i_best))
    logging.info(
        "best: learning rate %g, weight decay %g, mIoU %.4f, pixel accuracy %.4f",
        *(best.learning_rate, best.weight_decay, miou),
        counts.pixel_accuracy[i_best],
    )


if __name__ == "__main__":
    run(evaluate_probes)
