"""Odd files of other formats than TIFF, Zarr and HDF5, made by code; as in odd_files.py."""

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest

from odd_files import IMAGE, SIZE, odd


@odd
def nrrd_file(folder):
    header = {"spacings": list(SIZE[::-1]), "space units": ["um"] * 3, "space dimension": 3}
    nrrd.write(str(folder / "a.nrrd"), IMAGE, header, index_order="C")
    return folder / "a.nrrd", (IMAGE, SIZE)


@odd
def nifti_file(folder):
    image = nibabel.Nifti1Image(np.asfortranarray(IMAGE.T), np.diag([0.25, 0.5, 2.0, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, folder / "a.nii.gz")
    return folder / "a.nii.gz", (IMAGE, SIZE)


@odd
def mrc_file(folder):
    with mrcfile.new(folder / "a.mrc") as file:
        file.set_data(IMAGE)
        file.voxel_size = tuple(v * 1e4 for v in SIZE[::-1])
    return folder / "a.mrc", (IMAGE, SIZE)


def mrc_bytes(folder, change=lambda content: content, image=IMAGE, size=1e4):
    source = folder / "a.mrc"
    with mrcfile.new(source) as file:
        file.set_data(image)
        file.voxel_size = tuple(v * size for v in SIZE[::-1]) if size else 1.0
    source.write_bytes(change(source.read_bytes()))
    return source


@odd
def mrc_cut(folder):
    return mrc_bytes(folder, lambda content: content[:-100]), "complete and undamaged"


@odd
def mrc_of_one_angstrom(folder):
    return mrc_bytes(folder, size=0), (IMAGE, None)


@odd
def mrc_unsigned_by_imod(folder):
    image, flags = (IMAGE % 256).astype("uint8"), np.array([1146047817, 0], "<i4").tobytes()
    return (
        mrc_bytes(folder, lambda c: c[:152] + flags + c[160:], image.view("int8")),
        (image, SIZE),
    )


@odd
def nrrd_with_channels_and_directions(folder):
    two = np.stack([IMAGE, IMAGE[::-1]])  # c z y x
    ways = [[np.nan] * 3, [-0.5, 0, 0], [0, 0.3, 0.4], [0, 0, 2]]
    kinds = ["list", "domain", "domain", "domain"]
    header = {"space": "LPS", "space directions": ways, "kinds": kinds, "space units": ["um"] * 3}
    data = np.moveaxis(two, 0, -1)  # c is the fastest
    nrrd.write(str(folder / "a.nrrd"), data, header | {"encoding": "raw"}, index_order="C")
    return folder / "a.nrrd", "channel"


@odd
def nifti_scaled(folder):
    image = nibabel.Nifti1Image(np.asfortranarray(IMAGE.T), np.diag([0.25, 0.5, 2.0, 1]))
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(2, 5)
    nibabel.save(image, folder / "a.nii")
    stored = nibabel.load(folder / "a.nii")
    return folder / "a.nii", (np.asarray(stored.dataobj).T, (2000.0, 500.0, 250.0))


def loaders():
    return pytest.importorskip("v3dpy.loaders", reason="v3d-py-helper has no wheel for this Python")


def v3dpbd(folder, order, image=IMAGE, change=lambda content: content):
    """Write Vaa3D's compressed format, with runs of voxels as they are only."""
    loaders()
    head = np.array([2], order + "i2").tobytes()
    head += np.array([*image.shape[::-1], 1], order + "i4").tobytes()
    flat = image.astype(order + "u2").ravel()
    runs = [flat[i : i + 32] for i in range(0, flat.size, 32)]
    content = b"".join(bytes([run.size - 1]) + run.tobytes() for run in runs)
    magic = b"v3d_volume_pkbitdf_encod" + (b"L" if order == "<" else b"B")
    (folder / "a.v3dpbd").write_bytes(change(magic + head + content))
    return folder / "a.v3dpbd"


@odd
def v3dpbd_file(folder):
    return v3dpbd(folder, "<"), (IMAGE, None)


@odd
def v3dpbd_big_endian(folder):
    return v3dpbd(folder, ">"), (IMAGE, None)


@odd
def v3dpbd_of_vaa3d(folder):
    loaders().PBD().save(str(folder / "a.v3dpbd"), IMAGE[None])
    return folder / "a.v3dpbd", (IMAGE, None)


@odd
def v3dpbd_cut(folder):
    return v3dpbd(folder, "<", change=lambda content: content[:-700]), "complete and undamaged"


@odd
def v3dpbd_of_too_many(folder):
    return v3dpbd(folder, "<", change=lambda content: content + content[43:]), "complete"


def v3draw(folder, order, data):
    magic = b"raw_image_stack_by_hpeng" + (b"L" if order == "<" else b"B")
    head = np.array([2], order + "i2").tobytes() + np.array([20, 24, 8, 1], order + "i4").tobytes()
    (folder / "a.v3draw").write_bytes(magic + head + data.astype(order + "u2").tobytes())
    return folder / "a.v3draw"


@odd
def v3draw_file(folder):
    return v3draw(folder, "<", IMAGE), (IMAGE, None)


@odd
def v3draw_big_endian(folder):
    return v3draw(folder, ">", IMAGE), (IMAGE, None)


@odd
def v3draw_cut(folder):
    return v3draw(folder, "<", IMAGE[:5]), "complete"


@odd
def czi_without_reader(folder):
    (folder / "a.czi").write_bytes(b"ZISRAWFILE")
    return folder / "a.czi", "bioio-czi|must be complete"
