"""Tables as people and spreadsheets save them: the same rows in every dialect, or refused."""

import csv
import io
import itertools

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuroglow
from neuroglow.cubes.manifest import read_manifest
from neuroglow.errors import InputError
from neuroglow.files.csv_tables import read_csv, real_number
from neuroglow.selection.survey_table import KNOWN, read_survey, write_survey
from running import run
from survey_pools import varied, write_pool

ROWS = [
    {"name": "ä1", "image": "image/a 1.tif", "split": "train", "box": "0:6,0:7,0:8"},
    {"name": "b", "image": "image/b.tif", "split": "val", "box": ""},
    {"name": "c, too", "image": "image/c.tif", "split": "", "box": "0:3,0:7,0:8"},
]
NAMES = tuple(ROWS[0])


def text(delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\n", rows=ROWS):
    """Write the rows in a dialect."""
    file = io.StringIO()
    table = csv.DictWriter(
        file, NAMES, delimiter=delimiter, quoting=quoting, lineterminator=end, extrasaction="raise"
    )
    table.writeheader()
    table.writerows(rows)
    return file.getvalue()


def as_lines(plain):
    """Quote each line as a whole, as Excel saves a table that it took for text."""
    return "".join('"' + line.replace('"', '""') + '"\r\n' for line in plain.splitlines())


DIALECTS = {
    "commas": text(),
    "semicolons": text(";"),
    "tabs": text("\t"),
    "bars": text("|"),
    "all cells quoted": text(";", csv.QUOTE_ALL),
    "Windows' ends": text(end="\r\n"),
    "old Macintosh's ends": text(";", end="\r"),
    "BOM": "\ufeff" + text(";"),
    "Excel's hint": "sep=;\r\n" + text(";", end="\r\n"),
    "empty lines": "\n" + text().replace("\n", "\n\n") + "\n\n",
    "empty rows": text(";") + ";;;\n ; ; ;\n",
    "empty columns": text(";").replace("\n", ";;\n"),
    "spaces": text().replace("name,image,split", " name , image ,split ").replace(",val,", ", val ,"),
    "names in upper case": text().replace("name,image,split,box", "NAME,Image,Split,BOX"),
    "split in other case": text().replace("train", " Train ").replace("val", "VAL"),
    "backslashes": text(";").replace("image/", "image\\"),
    "each line quoted": as_lines(text()),
    "UTF-16": text("\t").encode("utf-16"),
    "Windows-1252": text(";").encode("cp1252"),
    "all together": "\ufeffsep=;\r\n" + text(";", csv.QUOTE_ALL, "\r\n").replace("image/", "image\\")
    .replace('"name"', '"Name "').replace("train", "TRAIN") + ";;;\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_table_is_the_same_in_every_dialect(tmp_path, kind):
    table, content = tmp_path / "m.csv", DIALECTS[kind]
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    cubes = read_manifest(table)
    found = [
        {
            "name": c.name,
            "image": c.image.relative_to(tmp_path.resolve()).as_posix(),
            "split": c.split,
            "box": c.box,
        }
        for c in cubes
    ]
    assert found == ROWS
    assert not any(cube.other for cube in cubes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04workbook", "save it as CSV"),
        ("name;image,label\na;b,c\n", "no column 'name', but 'name;image'"),
        ("name,image\na;x.tif\n", "line 2 does not"),
        ("name,Name,image\na,b,c\n", "'name' twice"),
        ("title,image\na,x.tif\n", "but 'title', 'image'"),
        ("name,image,split\na,x.tif,validation\n", "val, if that is meant"),
        ("name,image\n\n\na,x.tif,more\n", "3 in line 4, 2 in the head"),
        ("name,image\n,,,\n", "at least one cube"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_words(tmp_path, content, said):
    table = tmp_path / "m.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refused:
        read_manifest(table)
    assert said in str(refused.value)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(
        st.tuples(*[st.text("ab ,;\t|\"'é\\", max_size=6).map(str.strip)] * 3).filter(any),
        min_size=1,
        max_size=4,
    ),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_cells_come_back_from_any_dialect(tmp_path_factory, rows, delimiter, quoting):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=delimiter, quoting=quoting)
        table.writerows([("name", "image", "other"), *rows])
    assert [tuple(row.values()) for _, row in read_csv(path, ())] == rows


@pytest.mark.parametrize(
    ("written", "value"),
    [("0,25", 0.25), ("1,5E-05", 1.5e-5), (" -3,0 ", -3), ("0.5", 0.5), ("\u22122", -2)],
)
def test_decimal_commas_are_read(written, value):
    assert real_number(written) == value
    for none in ("1,234.5", "1,2,3", "03. Mrz", ""):
        with pytest.raises(ValueError, match="float"):
            real_number(none)


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory):
    """A survey of four labelled cubes, and what of it is chosen."""
    folder = tmp_path_factory.mktemp("surveyed")
    neuroglow.survey(write_pool(folder / "pool", varied(4)), out=folder / "s.csv")
    neuroglow.select(folder / "s.csv", out=folder / "sel.csv", n=2)
    return folder


def saved_by_excel(path, out, *, upper=False):
    """Save a table as a German Excel does: BOM, semicolons, decimal commas, empty rows."""
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    head, *rest = rows

    def cell(text):
        return text.replace(".", ",") if text.replace(".", "", 1).lstrip("-").isdigit() else text

    with out.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file, delimiter=";", lineterminator="\r\n")
        table.writerow([name.upper() for name in head] if upper else head)
        table.writerows([[cell(text) for text in row] for row in rest] + [[""] * len(head)])
    return out


@pytest.mark.parametrize("upper", [False, True])
def test_a_survey_saved_again_by_excel_chooses_the_same(surveyed, upper):
    edited = saved_by_excel(surveyed / "s.csv", surveyed / "edited.csv", upper=upper)
    assert b";0," in edited.read_bytes()
    neuroglow.select(edited, out=surveyed / "again.csv", n=2, mode="restart")
    chosen = [[c.name for c in read_survey(surveyed / n)] for n in ("sel.csv", "again.csv")]
    assert chosen[0] == chosen[1]
    again = saved_by_excel(surveyed / "again.csv", surveyed / "once more.csv", upper=upper)
    assert [c.split for c in read_manifest(again)] == [
        c.split for c in read_manifest(surveyed / "again.csv")
    ]
    neuroglow.survey(edited, out=surveyed / "s2.csv", mode="restart")
    columns = ("free_noise", "label_vox", "texture")
    for a, b in zip(read_survey(surveyed / "s.csv"), read_survey(surveyed / "s2.csv"), strict=True):
        assert [a.other[k] for k in columns] == [b.other[k] for k in columns]


def test_a_number_that_became_a_date_is_refused_with_its_cube(surveyed, capsys):
    cubes = read_survey(surveyed / "s.csv")
    cubes[1].other["free_noise"] = "03. Mrz"
    write_survey(cubes, surveyed / "spoilt.csv")
    words = ("select", surveyed / "spoilt.csv", "-n", 1, "-o", surveyed / "x.csv")
    status, said = run(capsys, *words, "--indicators", "free")
    assert status == 2
    assert "the column free_noise holds numbers" in said
    assert cubes[1].name in said
    assert "dates" in said


def test_a_table_with_windows_paths_trains_and_a_drive_is_named(tmp_path, capsys):
    for i, part in itertools.product(range(2), ("image", "label")):
        (tmp_path / part).mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / part / f"c{i}.tif", np.full((16, 16, 16), i, np.uint8))
    table = tmp_path / "m.csv"
    table.write_text("Name;Image;Label\nc0;image\\c0.tif;label\\c0.tif\nc1;.\\image\\c1.tif;\n")
    assert all(cube.image.exists() for cube in read_manifest(table))
    table.write_text("name;image\nc0;D:\\data\\c0.tif\n")
    status, said = run(capsys, "survey", table, "-o", tmp_path / "s.csv")
    assert status != 0
    assert "D:" in said


def test_every_column_of_a_survey_is_known_in_any_case(surveyed):
    for cube in read_survey(surveyed / "sel.csv"):
        assert set(cube.other) <= set(KNOWN)
