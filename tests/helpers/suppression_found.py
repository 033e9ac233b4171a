"""Results of suppression with planted numbers, as reports read them."""

from suppression_rows import around, files_of, latent_row, row, write_sae

from vitproto.report.segmentation.suppression_rows import read_suppression

SAE = "topk k512-seed0, layer 10"
LATENTS = f"the latents of {SAE}"
DOSE = -2.0


def against(label, own, **controls):
    """Rows of a class: its latents' specificity, and that of each control."""
    rows = [row(label, "latents", DOSE, own, latents=f"{label} 100")]
    for edit, specificity in controls.items():
        margin = around("margin", own - specificity)
        rows.append(row(label, edit, DOSE, specificity, **margin))
    return rows


def read(folder, rows, latents=None, changes=(), means=(), compared=(), **place):
    latents = latents or [latent_row(label, label) for label in (1, 2, 3, 4)]
    files = write_sae(folder, "a", rows, latents, changes, **place)
    return read_suppression(
        files_of(files, means=means, compared=compared), ("untrained",)
    )


def read_several(folder, compared=(), means=(), others=()):
    """Results of an SAE, and of others that are named by method alone."""
    saes = [
        write_sae(folder, method, against(1, 0.4), [latent_row(1, 1)], method=method)
        for method in ("topk", *others)
    ]
    files = files_of(*saes, means=means, compared=compared)
    return read_suppression(files, ("untrained",))
