"""Choose a linear probe on held-out training images, and evaluate it on the others."""

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
    evaluate_patches,
    find_best,
    to_class_table,
    to_probe_table,
)
from vitproto.segmentation.probes.held_out import split_training
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
    """Choose a probe on held-out training images; evaluate all on the test images.

    The probe that is kept has the highest mIoU over held-out patches; among equals, the
    first. On test images, logits are upsampled to the pixels of the encoder's input.

    Args:
        shards: All shards of the activations that the probes were trained on.
        layer: The block, from 0.
        patch_labels: The HDF5 file with the masks.
        probes: The safetensors file with all probes.
        probe_metrics: The CSV file to write, with a row for each probe.
        probe: The safetensors file to write, with the chosen probe.
        baseline: The CSV file to write, with its results for each class.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    labels = read_patch_labels(patch_labels)
    labels.check(acts, patch_labels, shards[0])
    trained = load_probes(probes)
    heads = [each.probe for each in trained]
    heads[0].check(probes, acts, labels.n_classes)
    check_trained_on(probes, acts, shards[0])
    sweep = read_probe_settings(probes)
    held_out_H = split_training(labels, sweep["held_out_every"]).held_out_H
    held_out = evaluate_patches(acts, labels, heads, held_out_H, torch_device)
    evaluation = evaluate(acts, labels, heads, torch_device)
    counts, i_best = evaluation.counts, find_best(held_out)
    best, miou = trained[i_best], float(counts.miou[i_best])
    settings = {
        **{"learning_rate": best.learning_rate, "weight_decay": best.weight_decay},
        **{"held_out_miou": float(held_out.miou[i_best]), "miou": miou},
        **{"sweep": sweep, "code": fingerprint("evaluate_probes")},
    }
    save_probe(probe, best.probe, settings)
    write_csv(probe_metrics, to_probe_table(trained, held_out, counts))
    write_csv(baseline, to_class_table(labels.classes, evaluation, i_best))
    logging.info("chosen: learning rate %g, mIoU %.4f", best.learning_rate, miou)


if __name__ == "__main__":
    run(evaluate_probes)
