#!/bin/sh
# Sees to the system libraries that Qt and a virtual screen need on Debian and Ubuntu.
set -eu
packages="xvfb xauth libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libdbus-1-3 libfontconfig1
libglib2.0-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0
libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1"

# Elsewhere than on Debian and Ubuntu, the desktop brings them.
command -v dpkg-query >/dev/null 2>&1 || exit 0

missing=""
for package in $packages; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" "${package}t64" 2>/dev/null |
        grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
    echo "Installing system libraries:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Some system libraries are missing. Please run:" >&2
    echo "  sudo apt-get install$missing" >&2
    exit 1
fi
