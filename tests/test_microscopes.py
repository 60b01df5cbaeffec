"""Files of microscopes, read through BioIO (extra `microscopes`): a Leica file made by code."""

import struct

import numpy as np
import pytest

from neuroglow import open_volume
from neuroglow.errors import InputError, ReadError
from neuroglow.space.geometry import Box

pytest.importorskip("bioio_lif", reason="the extra `microscopes` is not installed")

RNG = np.random.default_rng(6)
PAIR = RNG.integers(0, 60000, (2, 8, 24, 20)).astype("<u2")
ONE = RNG.integers(0, 255, (1, 6, 12, 10)).astype("u1")


def text(words):
    return b"\x2a" + struct.pack("<I", len(words)) + words.encode("utf-16-le")


def part(content):
    return struct.pack("<II", 0x70, len(content)) + content


def image_xml(number, image, size_um):
    bits, count = 8 * image.itemsize, image[0].nbytes
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{bits}" Min="0" Max="1" '
        f'NameOfMeasuredQuantity="" Unit="" IsLUTInverted="0" LUTName="Gray" BytesInc="{channel * count}" BitInc="0"/>'
        for channel in range(len(image))
    )
    sides, step = "", image.itemsize
    for axis, (n, size) in enumerate(zip(image.shape[:0:-1], size_um[::-1], strict=True), start=1):
        sides += (
            f'<DimensionDescription DimID="{axis}" NumberOfElements="{n}" Origin="0" '
            f'Length="{size * (n - 1) * 1e-6:.6e}" Unit="m" BitInc="0" BytesInc="{step}"/>'
        )
        step *= n
    return (
        f'<Element Name="i{number}" UniqueID="u{number}"><Data><Image><ImageDescription><Channels>'
        f"{channels}</Channels><Dimensions>{sides}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{image.nbytes}" MemoryBlockID="MemBlock_{number}"/><Children/></Element>'
    )


def write_lif(path, *images):
    """Write a Leica file. images: (c z y x, voxel size in um)."""
    inside = "".join(image_xml(k, *image) for k, image in enumerate(images))
    whole = (
        '<LMSDataContainerHeader Version="2"><Element Name="p.lif" UniqueID="r"><Data/>'
        f"<Children>{inside}</Children></Element></LMSDataContainerHeader>"
    )
    blocks = [
        part(b"\x2a" + struct.pack("<Q", image.nbytes) + text(f"MemBlock_{k}")) + image.tobytes()
        for k, (image, _) in enumerate(images)
    ]
    path.write_bytes(part(text(whole)) + b"".join(blocks))
    return path


def whole(volume):
    return volume.read(Box.of(volume.shape))


def test_a_leica_file_has_its_voxels_and_size(tmp_path):
    volume = open_volume(write_lif(tmp_path / "a.lif", (PAIR[:1], (2, 0.5, 0.25))))
    assert np.array_equal(whole(volume), PAIR[0])
    assert volume.voxel_size_um == pytest.approx((2, 0.5, 0.25))


def test_one_of_several_images_and_channels_is_chosen(tmp_path):
    path = write_lif(tmp_path / "a.lif", (PAIR, (2, 0.5, 0.25)), (ONE, (1, 1, 3)))
    with pytest.raises(InputError, match="one scene of several"):
        open_volume(path)
    with pytest.raises(InputError, match="one channel of several"):
        open_volume(f"{path}::0")
    assert np.array_equal(whole(open_volume(f"{path}::0", channel=1)), PAIR[1])
    assert np.array_equal(whole(open_volume(f"{path}::1")), ONE[0])


@pytest.mark.parametrize("name", ["a.lif", "a.nd2"])
def test_a_broken_file_is_not_answered_with_what_is_installed(tmp_path, name):
    (tmp_path / name).write_bytes(b"hello" * 100)
    with pytest.raises(ReadError, match="complete and undamaged"):
        open_volume(tmp_path / name)


def test_a_cut_file_is_refused(tmp_path):
    path = write_lif(tmp_path / "a.lif", (PAIR[:1], (2, 0.5, 0.25)))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ReadError, match="complete and undamaged"):
        whole(open_volume(path))
