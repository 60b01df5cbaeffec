"""Profiles of clusters: what is written is read, and becomes the job script that is meant."""

import subprocess
import sys

import pytest

from neuroglow.blocks.cluster_profile import KINDS, Profile, job_script, read_profile
from neuroglow.errors import SettingsError
from running import run

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue (extra `cluster`) is not installed")

HEADS = {
    "slurm": ["#SBATCH -p long", "#SBATCH -A lab", "#SBATCH --cpus-per-task=8",
              "#SBATCH --mem=30G", "#SBATCH -t 12:00:00", "#SBATCH --gres=gpu:1"],
    "lsf": ["#BSUB -q long", '#BSUB -P "lab"', "#BSUB -n 8", "#BSUB -W 12:00",
            "#BSUB --gres=gpu:1"],
    "sge": ["#$ -q long", "#$ -P lab", "#$ -l h_rt=12:00:00", "#$ --gres=gpu:1"],
    "pbs": ["#PBS -q long", "#PBS -A lab", "#PBS -l select=1:ncpus=8:mem=30GB",
            "#PBS -l walltime=12:00:00", "#PBS --gres=gpu:1"],
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.parametrize("kind", HEADS)
def test_the_script_of_a_job_asks_for_what_the_profile_says(here, capsys, kind):
    assert run(capsys, "cluster", "init", "--scheduler", kind)[0] == 0
    path = here / "neuroglow-cluster.yaml"
    text = path.read_text().replace("# queue: short", "queue: long")
    text = text.replace("# account: mylab", "account: lab")
    text += "directives: [--gres=gpu:1]\nprologue: [module load cuda]\nscratch: /tmp/fast\n"
    path.write_text(text + "interface: ib0\n")
    code, said = run(capsys, "cluster", "script")
    assert code == 0, said
    head, _, rest = said.partition("module load cuda")
    assert [line for line in HEADS[kind] if line not in head.splitlines()] == []
    worker = rest.strip()
    assert worker.startswith(f"{sys.executable} -m distributed.cli.dask_worker tcp://ADDRESS")
    for words in ("--nthreads 8", "--memory-limit 29.80GiB", "--nanny", "--interface ib0"):
        assert words in worker


def test_ctrl_c_stays_ours_when_a_cluster_is_imported():
    """dask_jobqueue takes it when it is imported, and would end a run with status 0 and no word."""
    code = (
        "import signal\n"
        "from neuroglow.blocks import cluster_profile\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "cluster_profile._module('slurm')\n"
        "assert signal.getsignal(signal.SIGINT) is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_written_profile_is_read(here, capsys):
    for kind in KINDS:
        assert run(capsys, "cluster", "init", f"{kind}.yaml", "--scheduler", kind)[0] == 0
        profile = read_profile(f"{kind}.yaml")
        assert (profile.scheduler, profile.jobs, profile.cores) == (kind, 4, 8)
    uncommented = (here / "slurm.yaml").read_text().replace("# ", "")
    keys = {
        line.split(":")[0] for line in uncommented.splitlines() if ": " in line or line[-1:] == ":"
    }
    assert set(Profile.model_fields) <= keys


def test_an_existing_profile_stays(here, capsys):
    (here / "neuroglow-cluster.yaml").write_text("mine")
    code, said = run(capsys, "cluster", "init")
    assert (code, "not overwritten" in said) == (2, True)
    assert (here / "neuroglow-cluster.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("scheduler", "text", "said"),
    [
        ("slurm", None, "cluster init"),
        ("slurm", "scheduler: lsf", "a profile of lsf"),
        ("none", None, "a scheduler is"),
        ("p.yaml", "scheduler: slurm\nnodes: 4", "unknown setting 'nodes'"),
        ("p.yaml", "scheduler: slurm\njobs: 0", "jobs"),
        ("p.yaml", "scheduler: slurm\nwalltime: 12:00:00", "walltime"),
        ("p.yaml", "scheduler: kubernetes", "none of slurm"),
        ("p.yaml", "- slurm", "mapping"),
        ("p.yaml", "a: [", "flat YAML"),
        ("q.yaml", None, "flat YAML"),
    ],
)
def test_a_profile_that_is_none_is_refused(here, scheduler, text, said):
    name = scheduler if scheduler.endswith(".yaml") else "neuroglow-cluster.yaml"
    if text is not None:
        (here / name).write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_profile(scheduler)
    assert said in str(caught.value)


def test_an_address_has_no_job_script():
    with pytest.raises(SettingsError, match="job script"):
        job_script(read_profile("tcp://127.0.0.1:8786"))
