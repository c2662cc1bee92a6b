# What ./quickstart and ./check share: Debian packages, and a virtual environment in .venv.
# Sourced by them, with $me set to the name that they speak under.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${me:?}" "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Say why root cannot be had, if so. sudo without a terminal can only work without a password.
need_root() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null || die "$1 needs root: run it as root, or install sudo"
    sudo -n true 2>/dev/null || [ -t 0 ] ||
        die "$1 needs root, and sudo asks for a password that nobody here can type"
}

need_debian() {
    local id='' like=''
    if [ -r /etc/os-release ]; then
        # shellcheck disable=SC1091
        id=$(. /etc/os-release && echo "${ID-}")
        # shellcheck disable=SC1091
        like=$(. /etc/os-release && echo "${ID_LIKE-}")
    fi
    type apt-get dpkg-query >/dev/null 2>&1 ||
        die "this is made for Debian 12 and 13, and here is no apt-get" \
            "(elsewhere: install the programs that docs/how-to/install.md lists, then pip install .)"
    case " $id $like " in
        *" debian "*) ;;
        *) die "this is made for Debian 12 and 13, and /etc/os-release says \`${id:-nothing}\`" ;;
    esac
    if [ -x /usr/bin/python3 ] && ! new_enough /usr/bin/python3; then
        die "Python 3.11 or newer is needed, and /usr/bin/python3 is $(/usr/bin/python3 -c \
            'import platform; print(platform.python_version())'): use Debian 12 or newer"
    fi
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Install those of the named Debian packages that are missing.
need_packages() {
    local package missing=()
    for package in "$@"; do
        case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) in
            'ii '* | 'hi '*) ;;
            *) missing+=("$package") ;;
        esac
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say "all $# Debian packages are installed"
        return
    fi
    say "installing Debian packages: ${missing[*]}"
    need_root "installing packages"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
    # A broken source of another vendor must not stop us, so only the installation itself counts.
    as_root "${apt[@]}" update >&2 </dev/null ||
        say "apt-get update had errors (above); trying to go on"
    as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 </dev/null ||
        die "apt-get could not install ${missing[*]}: is the network up?"
}

# Make a virtual environment and install this checkout into it, editable, with what the pins name:
# `run` what Oven needs, `dev` the tools for working on it too, both in .venv; `oldest` both, with the
# oldest libraries that pyproject.toml allows, in .venv/oldest; `fuzz` both, with a fuzzer, in .venv/fuzz.
need_venv() {
    local pins=$1 folder=.venv files=(".ci/pins/$1.txt") stamp wanted
    if [ "$pins" = oldest ] || [ "$pins" = fuzz ]; then
        folder=.venv/$pins
        files=(.ci/pins/dev.txt ".ci/pins/$pins.txt")
    fi
    stamp=$folder/installed
    # The path is part of it: programs in a virtual environment name it in their first line.
    wanted="$(cat pyproject.toml .ci/pins/*.txt | sha256sum | cut -c1-64) $PWD"
    if $folder/bin/python -c 'import builder, pip' 2>/dev/null && new_enough $folder/bin/python; then
        # Tools for working on it are not in the way of who only needs Oven.
        case $(cat "$stamp" 2>/dev/null) in
            "$wanted $pins" | "$wanted dev")
                say "the virtual environment $folder is up to date"
                return
                ;;
        esac
    fi
    say "installing what .ci/pins/$pins.txt names into $folder"
    if ! { $folder/bin/python -c 'import pip' 2>/dev/null && new_enough $folder/bin/python; }; then
        # Debian's own: its venv module came with python3-venv, another one's may be missing.
        /usr/bin/python3 -m venv --clear $folder || die "cannot make the virtual environment $folder"
    fi
    local file pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input)
    for file in "${files[@]}"; do
        "${pip[@]}" --no-deps --require-hashes --requirement "$file" </dev/null >&2 ||
            die "pip could not install what $file names (above): is the network up?"
    done
    "${pip[@]}" --no-deps --no-build-isolation --editable . </dev/null >&2 ||
        die "pip could not install this checkout (above)"
    printf '%s %s\n' "$wanted" "$pins" >"$stamp"
}
