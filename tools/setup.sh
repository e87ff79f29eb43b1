#!/usr/bin/env bash
# Make .venv with everything in it; what is done already is skipped. Called by `make setup`.
#
#   tests    as the only argument: also what only the tests need: a browser, SLURM
#   PYTHON   interpreter to use (>= 3.12); found by itself if not given
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
venv=$root/.venv
build=$root/.build
stamp=$venv/.genmat-setup

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# An interpreter is judged by running it: pyenv's shims exist and refuse.
is_suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

has_wheels_or_compiler() { command -v cc >/dev/null || "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))'; }

find_python() {
    if [[ -n "${PYTHON:-}" ]]; then
        is_suitable "$PYTHON" || die "PYTHON=$PYTHON is not a Python of at least 3.12 that runs"
        command -v "$PYTHON"
        return
    fi
    local pyenv_root candidate
    pyenv_root=$(pyenv root 2>/dev/null || printf '%s' "${PYENV_ROOT:-$HOME/.pyenv}")
    # 3.12 first: all wheels exist for it; on 3.13 CHGNet is compiled.
    for candidate in python3.12 "$pyenv_root"/versions/3.12*/bin/python3 \
        python3.13 "$pyenv_root"/versions/3.13*/bin/python3 python3 python; do
        if is_suitable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# debian_package NAME WHAT: see that a Debian package is there; as root install it, else name the command and go on.
debian_package() {
    local name=$1 what=$2
    command -v dpkg >/dev/null && command -v apt-get >/dev/null || return 1
    dpkg -s "$name" >/dev/null 2>&1 && return 0
    if [[ $(id -u) == 0 ]]; then
        say "installing the Debian package $name ($what)"
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -q --no-install-recommends "$name" >/dev/null 2>&1 && return 0
        apt-get update -q >/dev/null 2>&1 && apt-get install -y -q --no-install-recommends "$name" >/dev/null && return 0
        say "the Debian package $name could not be installed; going on without $what"
    else
        say "ask the administrator for: apt-get install $name; going on without $what"
    fi
    return 1
}

make_boot_venv() {
    local candidate
    for candidate in "$@" python3; do
        [[ -n "$candidate" ]] && "$candidate" -m venv --clear "$build/boot" >/dev/null 2>&1 && return 0
    done
    return 1
}

# Print the path of uv: the user's own, or one in a private environment that any Python with venv can make.
find_uv() {
    local python=$1
    if uv --version >/dev/null 2>&1; then
        command -v uv
        return
    fi
    if ! "$build/boot/bin/uv" --version >/dev/null 2>&1; then
        say "fetching uv" >&2
        make_boot_venv "$python" || {
            debian_package python3-venv "a virtual environment for uv" >&2 && make_boot_venv "$python"
        } || die "no Python here can make a virtual environment: install python3-venv, or uv, and run this again"
        "$build/boot/bin/python" -m pip install --quiet uv || die "uv cannot be fetched from PyPI: is there a network?"
    fi
    printf '%s\n' "$build/boot/bin/uv"
}

# The environment is as good as new if it was made from these files, runs, and imports the package of this folder.
is_done() {
    [[ -f $stamp && $(<"$stamp") == "$(fingerprint)" ]] || return 1
    [[ $(cd / && "$venv/bin/python" -c 'import genmat; print(genmat.__path__[0])' 2>/dev/null) == "$root/genmat" ]]
}
fingerprint() { cat pyproject.toml constraints.txt tools/setup.sh | sha256sum | cut -d ' ' -f 1; }

mkdir -p "$build"
exec 9>"$build/lock"
if command -v flock >/dev/null; then flock 9; fi

make_venv() {
    local python
    python=$(find_python) || [[ -z "${PYTHON:-}" ]] || exit 1
    uv=$(find_uv "$python")
    if [[ -z "$python" ]]; then
        say "no Python of at least 3.12 found; fetching one with uv"
        export UV_PYTHON_INSTALL_DIR=$build/python
        "$uv" python install --quiet 3.12 \
            || die "no Python of at least 3.12: install one and name it, as in: make setup PYTHON=/path/to/python3.12"
        python=$("$uv" python find 3.12)
    elif ! has_wheels_or_compiler "$python"; then
        debian_package build-essential "a compiler for CHGNet, which has wheels for Python 3.12 only" || true
    fi
    say "making .venv with $("$python" --version) ($python)"
    rm -rf "$venv"
    "$uv" venv --quiet --python "$python" "$venv"
}

if ! is_done; then
    # Commands in a moved environment still name the old folder.
    if is_suitable "$venv/bin/python" && grep -qsF "$venv" "$venv/bin/activate"; then
        uv=$(find_uv "$venv/bin/python")
    else
        make_venv
    fi
    say "installing packages into .venv (several GB with torch; minutes the first time)"
    "$uv" pip install --quiet --python "$venv/bin/python" --constraints constraints.txt --editable '.[embedded,dev]'
    # Without these two GPAW is built all the same, and is slower.
    debian_package libopenblas-dev "fast linear algebra in GPAW" || true
    debian_package libxc-dev "further functionals in GPAW" || true
    if ! "$uv" pip install --quiet --python "$venv/bin/python" --constraints constraints.txt --editable '.[gpaw]'; then
        say "GPAW cannot be built here (it needs a C compiler and Python's headers); going on without validation by it"
    fi
    fingerprint >"$stamp"
fi

if ! ldconfig -p 2>/dev/null | grep -q 'libcurl\.so\.4'; then
    debian_package libcurl4 "the embedded mongod (campaigns use the in-process store)" || true
fi
"$venv/bin/python" -m genmat.database.install
if [[ "${1:-}" == tests ]] && ! command -v chromium google-chrome chromium-browser >/dev/null; then
    debian_package chromium "the tests in a real browser" || true
fi
if [[ "${1:-}" == tests ]]; then
    debian_package slurm-wlm "the tests on a real SLURM" && debian_package munge "the tests on a real SLURM" || true
fi
say "done: .venv is ready"
