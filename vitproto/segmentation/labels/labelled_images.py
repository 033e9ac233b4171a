"""Where images with patch labels lie."""

from dataclasses import dataclass
from pathlib import Path

from vitproto.data.data_root import check_root
from vitproto.segmentation.labels.patch_labels import PatchLabels, image_files


@dataclass(frozen=True)
class LabelledImages:
    """The images of a data set, and the labels of their patches."""

    dataset: str
    """The name of the data set in the configuration."""
    root: Path
    """The folder of the data set."""
    images: Path
    """The CSV file that lists its images."""
    patch_labels: Path
    """The HDF5 file with the labels of patches and the masks of test images."""

    def files(self, labels: PatchLabels) -> list[Path]:
        """List the image files, in the order of `labels`, which `patch_labels` holds.

        Raises:
            ValueError: there is no such data set, or it has other images.
        """
        check_root(self.root, self.dataset)
        return image_files(labels, self.patch_labels, self.root, self.images)
