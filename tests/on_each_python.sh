#!/bin/sh
# Runs the unit tests of the server and of the client on each Python 3.11 to 3.13 that is installed here:
# on_each_python.sh FOLDER [ARGUMENTS OF PYTEST]. Each gets an environment below FOLDER, of the locked packages.
set -eu
folder=$1
shift
unneeded="tensorflow|keras|matplotlib|scikit-learn|playwright|atheris|mypy|ruff|uv"  # large, and of no use to these tests

# The interpreter's path, on PATH or among pyenv's versions; nothing where there is none.
find_python() {
    for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if "$python" -c '' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
}

failed=
for version in 3.11 3.12 3.13; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "Python $version is not installed: skipped"
        continue
    fi
    environment=$folder/$version
    if ! [ -e "$environment/installed" ]; then
        echo "Installing what the tests need for Python $version into $environment ..."
        deploy/make_venv.sh "$python" "$environment"
        awk -v unneeded="^($unneeded)[-=]" '/^[^ ]/ { is_needed = $0 !~ unneeded } is_needed' \
            requirements/development.txt >"$environment/requirements.txt"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
            --requirement "$environment/requirements.txt"
        touch "$environment/installed"
    fi
    echo "Python $version:"
    PYTHONPATH=client "$environment/bin/python" -m pytest -n 2 tests/unit/serving tests/unit/client "$@" ||
        failed="$failed $version"
done
[ -z "$failed" ] || { echo "FAILED on Python$failed"; exit 1; }
