"""`neuroglow evaluate` in the hands of a hostile but honest user."""

from running import run

LEGEND = "0=background,1=neurite,2=ignore"


def test_a_report_never_removes_what_it_did_not_make(tmp_path, capsys):
    cube = tmp_path / "cube"
    assert run(capsys, "phantom", "cube", "-o", cube, "--size", 48, "--density", "3,3")[0] == 0
    about = (cube / "cube.json").read_text()
    command = ("evaluate", cube / "tree.swc", cube, "--label-map", LEGEND)
    status, said = run(capsys, *command, "-o", cube / "cube.html", "--restart")
    assert (status, "only a report is replaced" in said) == (2, True)
    assert (cube / "cube.json").read_text() == about
    out = tmp_path / "r"
    assert run(capsys, *command, "-o", out)[0] == 0
    for mine in (out / "mine.tif", out / "pictures/mine.tif"):
        mine.write_text("a year")
        status, said = run(capsys, *command, "-o", out, "--restart")
        assert (status, "something else in it: mine.tif" in said) == (2, True)
        mine.unlink()
    left = tmp_path / "r.partial/pictures"  # of an evaluation that was killed
    left.mkdir(parents=True)
    (left / "old.png").touch()
    assert run(capsys, *command, "-o", out, "--restart")[0] == 0
    assert not (out / "pictures/old.png").exists()
    assert not left.exists()
