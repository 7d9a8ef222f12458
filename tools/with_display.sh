#!/bin/sh
# Runs a command with a display: the user's own, or a virtual screen where there is none
# (or where ANYSAM_VIRTUAL_SCREEN=always asks for one).
set -eu
if [ "${ANYSAM_VIRTUAL_SCREEN:-}" != always ]; then
    if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || [ "$(uname)" != Linux ]; then
        exec "$@"
    fi
fi
unset WAYLAND_DISPLAY
export ANYSAM_VIRTUAL_SCREEN=always QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
exec xvfb-run --auto-servernum --server-args="-screen 0 1400x1000x24" "$@"
