"""Odd files, as people have them, made by code: each maker gives what it wrote and what is right.

A maker takes an empty folder and returns (source, right): the voxels zyx, with a voxel size or
None, or the words that the refusal must hold.
"""

import json

import h5py
import numpy as np
import tifffile
import zarr

IMAGE = np.random.default_rng(4).integers(1, 60000, (8, 24, 20)).astype(np.uint16)
SIZE = (2.0, 0.5, 0.25)
MAKERS = {}


def odd(maker):
    MAKERS[maker.__name__] = maker
    return maker


def ngff(path, array, axes="zyx", unit="micrometer", *, scale=SIZE, version=2):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array(
        "0", data=np.ascontiguousarray(array), chunks=tuple(min(8, n) for n in array.shape)
    )
    named = [{"name": n, **({"unit": unit} if unit and n.lower() in "zyx" else {})} for n in axes]
    level = {"path": "0"}
    if scale:
        level["coordinateTransformations"] = [{"type": "scale", "scale": list(scale)}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": named, "datasets": [level]}]
    return path


def imagej(path, words, array=IMAGE, resolution=(4, 2)):
    text = f"ImageJ=1.54f\nimages={len(array)}\n{words}\n"
    tifffile.imwrite(path, array, description=text.encode(), metadata=None, resolution=resolution)
    return path


@odd
def zarr_axes_xyz(folder):
    return ngff(folder / "a.zarr", IMAGE.T, "xyz", scale=SIZE[::-1]), (IMAGE, SIZE)


@odd
def zarr_axes_yzx_upper(folder):
    scale = (SIZE[1], SIZE[0], SIZE[2])
    return ngff(folder / "a.zarr", IMAGE.transpose(1, 0, 2), "YZX", scale=scale), (IMAGE, SIZE)


@odd
def zarr_channel_last(folder):
    return ngff(folder / "a.zarr", IMAGE[..., None], "zyxc", scale=(*SIZE, 1)), (IMAGE, SIZE)


@odd
def zarr_two_z(folder):
    return ngff(folder / "a.zarr", IMAGE, "zzx"), "each axis"


@odd
def zarr_unit_micron(folder):
    return ngff(folder / "a.zarr", IMAGE, unit="micron"), (IMAGE, SIZE)


@odd
def zarr_unit_unknown(folder):
    return ngff(folder / "a.zarr", IMAGE, unit="furlong"), (IMAGE, None)


@odd
def zarr_scale_zero(folder):
    return ngff(folder / "a.zarr", IMAGE, scale=(0, 1, 1)), (IMAGE, None)


@odd
def zarr_scale_of_two_axes(folder):
    return ngff(folder / "a.zarr", IMAGE, scale=(1, 1)), "must follow"


@odd
def zarr_axes_as_names(folder):
    path = ngff(folder / "a.zarr", IMAGE, unit=None, scale=None)
    group = zarr.open_group(path, mode="r+")
    group.attrs["multiscales"] = [
        {"version": "0.3", "axes": list("zyx"), "datasets": [{"path": "0"}]}
    ]
    return path, (IMAGE, None)


@odd
def zarr_level_by_itself(folder):
    return ngff(folder / "a.zarr", IMAGE.T, "xyz", scale=SIZE[::-1]) / "0", (IMAGE, SIZE)


@odd
def zarr_dimension_names(folder):
    names = {"dimension_names": ("x", "y", "z")}
    zarr.create_array(
        folder / "a.zarr", data=np.ascontiguousarray(IMAGE.T), chunks=(8, 8, 8), **names
    )
    return folder / "a.zarr", (IMAGE, None)


@odd
def zarr_xarray_names(folder):
    array = zarr.create_array(folder / "a.zarr", data=np.ascontiguousarray(IMAGE.T), zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = ["x", "y", "z"]
    return folder / "a.zarr", (IMAGE, None)


@odd
def zarr_container_of_one(folder):
    zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    ngff(folder / "a.zarr/0", IMAGE[None, None], "tczyx", scale=(1, 1, *SIZE))
    return folder / "a.zarr", (IMAGE, SIZE)


@odd
def zarr_container_of_two(folder):
    zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    ngff(folder / "a.zarr/0", IMAGE), ngff(folder / "a.zarr/1", IMAGE)
    return folder / "a.zarr", "a.zarr/0"


@odd
def zarr_plate(folder):
    plate = zarr.open_group(folder / "p.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "A/2"}]}
    for well in ("A/1", "A/2"):
        zarr.open_group(folder / "p.zarr" / well, mode="w", zarr_format=2).attrs["well"] = {
            "images": [{"path": "0"}]
        }
        ngff(folder / "p.zarr" / well / "0", IMAGE)
    return folder / "p.zarr", "p.zarr/A/1/0"


@odd
def zarr_without_metadata(folder):
    (folder / "a.zarr/0").mkdir(parents=True)
    return folder / "a.zarr", "has metadata"


@odd
def n5(folder):
    (folder / "a.n5").mkdir()
    (folder / "a.n5/attributes.json").write_text('{"n5": "2.5.1"}')
    return folder / "a.n5", "N5"


@odd
def remote(folder):
    return "ftp://bucket/brain.zarr", "an address"


@odd
def h5_ilastik(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        data = file.create_dataset("exported_data", data=np.moveaxis(IMAGE, 0, 2)[..., None])
        data.attrs["axistags"] = json.dumps({"axes": [{"key": k} for k in "yxzc"]})
    return folder / "a.h5", (IMAGE, None)


@odd
def h5_channel_last_unnamed(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["data"] = np.stack([IMAGE, IMAGE + 1], -1)
    return folder / "a.h5", "2 along the channel axis"


@odd
def h5_labelled_dimensions(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["data"] = IMAGE.T
        for dimension, name in zip(file["data"].dims, "xyz", strict=True):
            dimension.label = name
    return folder / "a.h5", (IMAGE, None)


def bdv(folder, setups=1):
    with h5py.File(folder / "a.h5", "w") as file:
        for setup in range(setups):
            for level in (0, 1):
                step = 2**level
                place = f"t00000/s{setup:02d}/{level}/cells"
                file[place] = IMAGE[::step, ::step, ::step].view(np.int16)
            file[f"s{setup:02d}/resolutions"] = np.array([[1.0, 1, 1], [2, 2, 2]])
    return folder / "a.h5"


@odd
def bdv_int16(folder):
    return bdv(folder), (IMAGE, None)


@odd
def bdv_with_xml(folder):
    bdv(folder)
    (folder / "a.xml").write_text(
        "<SpimData><SequenceDescription><ImageLoader format='bdv.hdf5'><hdf5>a.h5</hdf5></ImageLoader>"
        "<ViewSetups><ViewSetup><id>0</id><voxelSize><unit>nm</unit><size>250 500 2000</size>"
        "</voxelSize></ViewSetup></ViewSetups></SequenceDescription></SpimData>"
    )
    return folder / "a.xml", (IMAGE, SIZE)


@odd
def bdv_of_two_setups(folder):
    return bdv(folder, 2), "one setup of several"


@odd
def imaris_in_nm(folder):
    with h5py.File(folder / "a.ims", "w") as file:
        file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data"] = IMAGE
        info = file.create_group("DataSetInfo/Image").attrs
        texts = {"Unit": "nm"}
        for axis, i in zip("ZYX", (2, 1, 0), strict=True):
            count, side = IMAGE.shape[2 - i], SIZE[2 - i] * 1000
            texts |= {axis: count, f"ExtMin{i}": 0.0, f"ExtMax{i}": count * side}
        for key, value in texts.items():
            info[key] = np.array([c.encode() for c in str(value)], "S1")
    return folder / "a.ims", (IMAGE, SIZE)


@odd
def fiji_step_of_one(folder):
    return imagej(folder / "a.tif", "slices=8\nunit=micron"), (IMAGE, (1.0, 0.5, 0.25))


@odd
def fiji_misdecoded_micro(folder):
    return imagej(folder / "a.tif", "slices=8\nunit=Âµm\nspacing=2"), (IMAGE, SIZE)


@odd
def fiji_pixels(folder):
    return imagej(folder / "a.tif", "slices=8\nunit=pixel\nspacing=2"), (IMAGE, None)


@odd
def fiji_planes_as_channels(folder):
    return imagej(folder / "a.tif", "channels=8\nunit=micron\nspacing=2"), (IMAGE, SIZE)


@odd
def fiji_planes_as_frames(folder):
    return imagej(folder / "a.tif", "frames=8\nunit=micron\nspacing=2"), (IMAGE, SIZE)


@odd
def fiji_two_channels_one_plane(folder):
    return imagej(folder / "a.tif", "channels=2", IMAGE[:2]), "2D image"


@odd
def ome_in_two_files(folder):
    ids = ["urn:uuid:00000000-0000-4000-8000-00000000000" + str(i) for i in (0, 1)]
    data = "".join(
        f'<TiffData FirstZ="{4 * i + j}" IFD="{j}" PlaneCount="1"><UUID FileName="{i}.ome.tif">{ids[i]}'
        "</UUID></TiffData>"
        for i in (0, 1)
        for j in range(4)
    )
    for i in (0, 1):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[i]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="20" SizeY="24" SizeZ="8" SizeC="1" SizeT="1" PhysicalSizeX="250" '
            'PhysicalSizeXUnit="nm" PhysicalSizeY="0.5" PhysicalSizeYUnit="&#181;m" PhysicalSizeZ="2">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        part = IMAGE[4 * i : 4 * i + 4]
        tifffile.imwrite(
            folder / f"{i}.ome.tif", part, description=xml, metadata=None, photometric="minisblack"
        )
    return folder / "0.ome.tif", (IMAGE, SIZE)


@odd
def ome_in_two_files_one_missing(folder):
    ome_in_two_files(folder)
    (folder / "1.ome.tif").unlink()
    return folder / "0.ome.tif", "4 of 8 planes are missing"


@odd
def ome_in_two_files_as_folder(folder):
    ome_in_two_files(folder)
    return folder, (IMAGE, SIZE)


@odd
def tiff_appended_planes(folder):
    for plane in IMAGE:
        tifffile.imwrite(folder / "a.tif", plane, append=True)
    return folder / "a.tif", (IMAGE, None)


@odd
def tiff_appended_stacks(folder):
    for start in (0, 4):
        tifffile.imwrite(
            folder / "a.tif", IMAGE[start : start + 4], append=True, photometric="minisblack"
        )
    return folder / "a.tif", "::all"


@odd
def tiff_appended_stacks_all(folder):
    return f"{tiff_appended_stacks(folder)[0]}::all", (IMAGE, None)


@odd
def tiff_one_plane_of_8_bits(folder):
    with tifffile.TiffWriter(folder / "a.tif") as file:
        for z, plane in enumerate(IMAGE):
            file.write(plane.astype(np.uint8) if z == 3 else plane, contiguous=False, metadata=None)
    return folder / "a.tif", "plane 3|series"


@odd
def tiff_strips_that_differ(folder):
    with tifffile.TiffWriter(folder / "a.tif") as file:
        for z, plane in enumerate(IMAGE):
            rows = 24 if z < 3 else 12
            file.write(plane, contiguous=False, metadata=None, rowsperstrip=rows)
    return folder / "a.tif", "series"


@odd
def tiff_with_thumbnail(folder):
    with tifffile.TiffWriter(folder / "a.tif") as file:
        file.write(IMAGE, metadata={"axes": "ZYX"})
        file.write(IMAGE[0, ::4, ::4], metadata={"axes": "YX"})
    return folder / "a.tif", (IMAGE, None)


def slices(folder, names):
    for i, name in enumerate(names):
        tifffile.imwrite(folder / name, IMAGE[i % 8])
    return folder


@odd
def slices_two_channels(folder):
    return slices(folder, [f"z{z}_C{c}.tif" for z in range(8) for c in (0, 1)]), "one channel"


@odd
def slices_gap(folder):
    return slices(folder, [f"z{z}.tif" for z in range(9) if z != 4]), "3 is followed by 5"


@odd
def slices_with_copy(folder):
    return slices(folder, [*[f"z{z}.tif" for z in range(8)], "z3 (1).tif"]), (IMAGE, None)


@odd
def slices_with_projection(folder):
    return slices(folder, [*[f"z{z:02d}.tif" for z in range(8)], "MAX_z.tif"]), (IMAGE, None)


@odd
def slices_every_fifth(folder):
    return slices(folder, [f"z{5 * z}.tif" for z in range(8)]), (IMAGE, None)


@odd
def h5_link_into_another_file(folder):
    with h5py.File(folder / "part.h5", "w") as file:
        file["raw"] = IMAGE
    with h5py.File(folder / "a.h5", "w") as file:
        file["here"] = h5py.ExternalLink("part.h5", "raw")
        file["again"] = h5py.SoftLink("/here")
    return folder / "a.h5", (IMAGE, None)


@odd
def h5_virtual(folder, missing="", dataset="raw"):
    with h5py.File(folder / "part.h5", "w") as file:
        file["raw"] = IMAGE
    layout = h5py.VirtualLayout(IMAGE.shape, "u2")
    layout[:] = h5py.VirtualSource(f"{missing}part.h5", dataset, IMAGE.shape)
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_virtual_dataset("raw", layout, fillvalue=0)
    return folder / "a.h5", (IMAGE, None)


@odd
def h5_virtual_of_a_missing_file(folder):
    return h5_virtual(folder, missing="no")[0], "no nopart.h5"


@odd
def h5_virtual_of_a_missing_dataset(folder):
    return h5_virtual(folder, dataset="gone")[0], "no part.h5 with gone"


@odd
def tiff_that_is_a_pointer_of_git_lfs(folder):
    (folder / "a.tif").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    return folder / "a.tif", "git lfs pull"


@odd
def tiff_that_is_a_web_page(folder):
    (folder / "a.tif").write_text("<!DOCTYPE html><title>404</title>")
    return folder / "a.tif", "a web page"


@odd
def array_of_numpy(folder):
    np.save(folder / "a.npy", IMAGE)
    return folder / "a.npy", "numpy.load"


@odd
def zarr_zipped(folder):
    (folder / "a.zarr.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    return folder / "a.zarr.zip", "unpack it"


@odd
def slices_of_a_mac(folder):
    for number, plane in enumerate(IMAGE):
        tifffile.imwrite(folder / f"z{number:02d}.tif", plane)
        (folder / f"._z{number:02d}.tif").write_bytes(b"\0\5\x16\7" + bytes(100))
    (folder / ".DS_Store").write_bytes(b"x")
    return folder, (IMAGE, None)


@odd
def tiff_pyramid(folder):
    size = dict(zip("ZYX", SIZE, strict=True))
    metadata = {"axes": "ZYX", **{f"PhysicalSize{axis}": v for axis, v in size.items()}}
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as file:
        file.write(IMAGE, subifds=1, tile=(16, 16), metadata=metadata)
        file.write(IMAGE[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    return folder / "a.ome.tif", (IMAGE, SIZE)
