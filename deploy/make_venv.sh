#!/bin/sh
# Creates a virtual environment: make_venv.sh PYTHON FOLDER. Debian and Ubuntu ship Python without the pip that venv
# needs; this script installs it when run as root, and otherwise prints the command that does.
set -eu
python=$1
folder=$2

command -v "$python" >/dev/null || {
    echo "Python 3.11 or newer is needed and '$python' was not found: apt-get install python3, or make PYTHON=/path/to/python3" >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed, '$python' is $("$python" --version): make PYTHON=python3.11" >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $version, which this Python lacks ..."
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$version" >/dev/null
    else
        echo "This Python cannot create environments. Run once: sudo apt-get install $version; then make again." >&2
        exit 1
    fi
fi
# Nothing is left of an environment that failed: make would take the folder for a finished one.
"$python" -m venv "$folder" || { rm -rf "$folder"; exit 1; }
