"""How many cores a process may use: of its affinity, and of its cgroups."""

import os
import subprocess
import sys

import pytest

from neuroglow.cores import cores_here

MANY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def plant(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_limits_all_cores_are_used(tmp_path):
    plant(tmp_path, {"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/cpu.max": "max 100000\n"})
    assert cores_here(tmp_path) == MANY


@pytest.mark.parametrize("group", ["job/step", "job", ""])
def test_the_quota_of_any_group_above_counts(tmp_path, group):
    files = {"proc/self/cgroup": "0::/job/step\n"}
    files[f"sys/fs/cgroup/{group}/cpu.max"] = "100000 100000\n"
    assert cores_here(plant(tmp_path, files)) == 1


def test_a_quota_of_version_1_counts(tmp_path):
    base = "sys/fs/cgroup/cpu/slurm/job_7"
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/slurm/job_7\n4:memory:/other\n",
        f"{base}/cpu.cfs_quota_us": "150000",
        f"{base}/cpu.cfs_period_us": "100000",
    }
    assert cores_here(plant(tmp_path, files)) == 1
    files[f"{base}/cpu.cfs_quota_us"] = "-1"
    assert cores_here(plant(tmp_path, files)) == MANY


def test_less_than_a_core_is_one(tmp_path):
    plant(tmp_path, {"sys/fs/cgroup/cpu.max": "20000 100000\n"})
    assert cores_here(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds processes")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core cannot be fewer")
@pytest.mark.parametrize(("asked", "threads"), [(None, "1"), ("3", "3")])
def test_an_engine_has_as_many_threads_as_a_job_has_cores(asked, threads):
    """OMP_NUM_THREADS goes first."""
    child = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from neuroglow.network.engine import threads; print(threads())"
    )
    others = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment = others | ({"OMP_NUM_THREADS": asked} if asked else {})
    words = [sys.executable, "-c", child]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == threads
