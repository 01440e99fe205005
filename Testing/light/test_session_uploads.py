"""Files that come through a browser: their names, their size, and where they may lie."""

from __future__ import annotations

import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.session.uploads import MOST_FILES, Uploads

pytestmark = [pytest.mark.unit, pytest.mark.security]


@pytest.fixture
def uploads(tmp_path) -> Uploads:
    return Uploads(tmp_path / "cache", most_bytes=100)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\x\\scan.nii.gz", "..", ".", "", "a\0b.nrrd", "con.nii",
     "scan <script>.nii.gz", "x" * 500 + ".nii.gz"],
)  # fmt: skip
def test_whatever_a_file_is_called_it_lies_in_its_batch(uploads, tmp_path, name):
    batch = uploads.begin()
    place = uploads.place(batch, name)
    assert place.parent == (tmp_path / "cache" / "uploads" / batch).resolve()
    place.write_bytes(b"it can be written")


def test_endings_of_volumes_stay(uploads):
    batch = uploads.begin()
    assert uploads.place(batch, "folder/Scan.nii.gz").name == "Scan.nii.gz"
    assert uploads.place(batch, "other/Scan.nii.gz").name == "Scan_2.nii.gz"


def test_volumes_are_added_one_by_one_and_a_series_as_a_folder(uploads):
    volumes, series = uploads.begin(), uploads.begin()
    placed = [uploads.place(volumes, name) for name in ("a.nii.gz", "b.nrrd", "readme.txt")]
    assert list(uploads.volumes(volumes)) == [p.parent.parent / volumes / p.name for p in placed[:2]]
    first = uploads.place(series, "IM0001")
    uploads.place(series, "IM0002.dcm")
    assert list(uploads.volumes(series)) == [first.parent]


def test_a_batch_that_is_too_large_is_refused_and_removed(uploads, tmp_path):
    batch = uploads.begin()
    uploads.place(batch, "a.nii").write_bytes(b"x" * 90)
    uploads.count(batch, 90)
    with pytest.raises(ProjectError, match="at once"):
        uploads.count(batch, 20)
    assert not (tmp_path / "cache" / "uploads" / batch).exists()


@pytest.mark.parametrize("batch", ["..", "0123456789abcdef", "", "../../x"])
def test_a_batch_that_was_not_begun_is_refused(uploads, batch):
    with pytest.raises(ProjectError, match="upload once more"):
        uploads.place(batch, "a.nii")


def test_an_empty_batch_is_refused(uploads):
    with pytest.raises(ProjectError, match="no file came"):
        uploads.volumes(uploads.begin())


def test_no_more_files_than_a_series_has(uploads):
    batch = uploads.begin()
    uploads._files[batch] = [f"IM{number}" for number in range(MOST_FILES)]
    with pytest.raises(ProjectError, match="upload fewer"):
        uploads.place(batch, "one more")


def test_what_earlier_servers_left_is_cleared(uploads, tmp_path):
    uploads.place(uploads.begin(), "a.nii").write_bytes(b"x")
    Uploads(tmp_path / "cache").clear()
    assert not (tmp_path / "cache" / "uploads").exists()
