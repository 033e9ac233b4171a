"""Imported autoencoders that reconstruct badly are named."""

import re

import pytest

from vitproto.report.saes.imports import (
    describe_imports,
    read_imports,
    write_import_note,
)

HEADER = "encoder,layer,method,file,n_images,n_patches,nmse,l0\n"
GOOD = "tiny,3,good,a.pt,64,4096,0.083,32.0\n"
BAD = "tiny,3,bad,b.pt,64,4096,0.849,7.25\n"
ALL_EQUAL = "tiny,2,good,a.pt,64,4096,,0.0\n"


def write(path, *rows):
    path.write_text(HEADER + "".join(rows))
    return path


def test_only_the_doubtful_import_is_named(tmp_path):
    files = [write(tmp_path / "a.csv", GOOD), write(tmp_path / "b.csv", BAD)]
    checks = read_imports(files)
    assert read_imports(files[::-1]).equals(checks)
    section = describe_imports(checks)
    (note,) = section.paragraphs
    assert "badly (NMSE above 0.5), so what" in note
    assert "layer: bad in layer 3 of tiny, 0.849. NMSE is" in note
    assert section.tables["NMSE and L0"].rows == [
        ["bad", "tiny", "3", "b.pt", "64", "0.849", "7.2"],
        ["good", "tiny", "3", "a.pt", "64", "0.083", "32.0"],
    ]


@pytest.mark.parametrize("row", [GOOD, GOOD.replace("0.083", "0.5"), ALL_EQUAL])
def test_an_import_that_reconstructs_well_is_not_called_doubtful(tmp_path, row):
    checks = read_imports([write(tmp_path / "a.csv", row)])
    note = write_import_note(checks)
    assert note.startswith("No import has an NMSE above 0.5.")
    assert ("There is none (–) where" in note) == (row == ALL_EQUAL)


def test_damaged_and_repeated_files_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", GOOD.replace("32.0", "many"))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_imports([path])
    with pytest.raises(ValueError, match="checks of imports repeat others"):
        read_imports([write(tmp_path / "b.csv", GOOD)] * 2)
