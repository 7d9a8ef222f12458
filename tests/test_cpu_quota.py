import pytest

from napari_anysam.cores import usable_cores
from napari_anysam.cpu_quota import granted_cores

QUEUES = ("SLURM_CPUS_PER_TASK", "NSLOTS", "NCPUS", "LSB_DJOB_NUMPROC")


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch):
    for name in QUEUES:
        monkeypatch.delenv(name, raising=False)


def machine(folder, files):
    """Lay out the files in which Linux describes control groups."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "0::/system.slice/job_7\n",
                "sys/fs/cgroup/system.slice/job_7/cpu.max": "max 100000\n",
                "sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/docker/of_the_host\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
    ids=[
        "not Linux",
        "no controller",
        "no limit",
        "4 cores",
        "a part of a core counts",
        "less than one core",
        "the group around a job",
        "version 1",
        "version 1 in a container",
        "version 1 without a limit",
    ],
)
def test_control_groups(tmp_path, files, cores):
    assert granted_cores(machine(tmp_path, files)) == cores


@pytest.mark.parametrize("name", QUEUES)
def test_a_batch_queue(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "3")
    assert granted_cores(tmp_path) == 3


def test_the_smallest_grant_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    quota = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}
    assert granted_cores(machine(tmp_path, quota)) == 2


@pytest.mark.parametrize("words", ["", "many", "1,2"])
def test_what_is_no_number_is_no_grant(tmp_path, monkeypatch, words):
    monkeypatch.setenv("NSLOTS", words)
    assert granted_cores(tmp_path) is None


def test_a_job_of_one_core_uses_one(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert usable_cores() == 1
