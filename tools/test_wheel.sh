#!/bin/sh
# Installs the built wheel, and nothing of this checkout, in an empty environment and runs the
# tests of the headless core against it.
set -eu
python=${1:-python3}
wheel=$(ls -t dist/*.whl | head -n 1)
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"$python" -m venv "$environment/venv"
pip="$environment/venv/bin/python -m pip install --quiet"
$pip --upgrade pip setuptools wheel
$pip torch torchvision
SAM2_BUILD_CUDA=0 $pip --no-build-isolation "sam2>=1.1"
$pip "$wheel[test]"
cp -r tests "$environment/tests"
cp pyproject.toml "$environment/"
cd "$environment"
./venv/bin/python -c "import napari_anysam; print('tested:', napari_anysam.__file__)"
./venv/bin/python -m pytest tests/segmentation tests/images tests/models tests/networks tests/cli tests/exports -m "not slow and not gui"
