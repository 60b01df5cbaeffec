"""What a volume is: the studio, the viewers and the plugin agree, with or without opening it."""

import json

import numpy as np
import pytest
import tifffile

from neuroglow.files.record import files_beside
from neuroglow.formats.kinds import expected_kind, kind_of
from neuroglow.formats.opening import open_volume
from neuroglow.studio.kinds import kind_of as kind_in_studio

NAMES = {
    "brain": "raw", "brain_prob": "probability", "brain-pred": "probability",
    "brain.prediction": "probability", "brain_label": "label", "brain-mask": "label",
    "brain truth": "label", "prob_brain": "raw", "mask1": "raw",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_the_same_to_all(tmp_path, name):
    path = tmp_path / f"{name}.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 8), np.uint8))
    kinds = (expected_kind(path), kind_of(path, open_volume(path)))
    assert kinds == (NAMES[name], NAMES[name])
    assert kind_in_studio(path) == {"raw": "volume"}.get(NAMES[name], NAMES[name])


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"model": {"name": "m"}, "used": {}}, "probability"),
        ({"legend": {"1": "neurite"}}, "label"),
        ({"model": {"name": "m"}}, "raw"),
    ],
)
def test_a_record_says_more_than_a_name(tmp_path, record, kind):
    path = tmp_path / "brain.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 8), np.uint8))
    files_beside(path).record.write_text(json.dumps(record))
    assert expected_kind(path) == kind_of(path, open_volume(path)) == kind
