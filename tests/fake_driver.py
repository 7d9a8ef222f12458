"""A graphics driver that answers as told: a program called nvidia-smi, first on the PATH."""

import os
import sys


def install_nvidia_smi(monkeypatch, folder, *, answer, code=0):
    """Put the program into a folder; it answers the one question that may be asked."""
    program = folder / "nvidia-smi"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "assert sys.argv[1:] == ['--query-gpu=name', '--format=csv,noheader']\n"
        f"print({answer!r})\n"
        f"sys.exit({code})\n"
    )
    program.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
