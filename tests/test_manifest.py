"""The training-set table: what is written is read; what is wrong is named."""

import numpy as np
import pytest
import tifffile

from neuroglow.cubes.manifest import Cube, check_files, read_manifest, write_manifest
from neuroglow.errors import InputError
from neuroglow.files.writing import file_sha256


def cube(folder, name, *, label=True):
    for kind in ("image", "label") if label else ("image",):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / kind / f"{name}.tif", np.zeros((6, 7, 8), np.uint8))


def test_what_is_written_is_read_from_any_folder(tmp_path, monkeypatch):
    for name in ("b", "a"):
        cube(tmp_path / "pool", name)
    cubes = [
        Cube(
            name,
            tmp_path / f"pool/image/{name}.tif",
            tmp_path / f"pool/label/{name}.tif",
            "val",
            "0:6,0:7,0:2",
            file_sha256(tmp_path / f"pool/image/{name}.tif"),
            other={"reason": "dense, and noisy"},
        )
        for name in ("b", "a")
    ]
    table = write_manifest(cubes, tmp_path / "deep.csv")
    assert str(tmp_path) not in table.read_text()
    monkeypatch.chdir("/")
    assert read_manifest(table) == cubes
    check_files(read_manifest(table))


def test_a_folder_is_a_manifest_whatever_the_order_of_its_files(tmp_path):
    for name in ("c10", "c9", "c1"):
        cube(tmp_path, name, label=name != "c9")
    found = read_manifest(tmp_path)
    assert [c.name for c in found] == ["c1", "c9", "c10"]
    assert [c.label is None for c in found] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,image\n", "at least one cube"),
        ("name,label\na,b\n", "no column 'image'"),
        ("name,image\na,x.tif\na,y.tif\n", "'a' twice"),
        ("name,image,split\na,x.tif,train\nb,x.tif,validation\n", "'validation' in line 3"),
        ("name,image\na,x.tif\n,y.tif\n", "line 3"),
        ("name,image\na,x.tif,more\n", "line 2"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
    ],
)
def test_a_wrong_table_is_named(tmp_path, text, said):
    table = tmp_path / "set.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"set\.csv") as error:
        read_manifest(table)
    assert said in str(error.value)


def test_a_label_without_its_image_is_named(tmp_path):
    cube(tmp_path, "a")
    (tmp_path / "label/other.tif").touch()
    with pytest.raises(InputError, match=r"other\.tif without an image"):
        read_manifest(tmp_path)


def test_a_changed_file_and_a_missing_one_are_named(tmp_path):
    cube(tmp_path, "a")
    image, label = tmp_path / "image/a.tif", tmp_path / "label/a.tif"
    cubes = [Cube("a", image, label, label_sha256=file_sha256(label))]
    check_files(cubes)
    tifffile.imwrite(label, np.ones((6, 7, 8), np.uint8))
    with pytest.raises(InputError, match=r"different content.*\n.*label/a\.tif"):
        check_files(cubes)
    image.unlink()
    with pytest.raises(InputError, match=r"image/a\.tif"):
        check_files(cubes)
