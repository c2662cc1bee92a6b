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

# Make .venv, and install this checkout into it, editable, with the named extra (or none).
need_venv() {
    local extra=$1 stamp=.venv/installed wanted
    # The path is part of it: programs in a virtual environment name it in their first line.
    wanted="$(sha256sum <pyproject.toml | cut -c1-64) $PWD"
    if .venv/bin/python -c 'import builder, pip' 2>/dev/null && new_enough .venv/bin/python; then
        # What has the extra has all that is needed without it, too.
        case $(cat "$stamp" 2>/dev/null) in
            "$wanted $extra" | "$wanted dev")
                say "the virtual environment .venv is up to date"
                return
                ;;
        esac
    fi
    say "installing Oven${extra:+ and the tools for working on it} into .venv"
    if ! { .venv/bin/python -c 'import pip' 2>/dev/null && new_enough .venv/bin/python; }; then
        # Debian's own: its venv module came with python3-venv, another one's may be missing.
        /usr/bin/python3 -m venv --clear .venv || die "cannot make the virtual environment .venv"
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --editable ".${extra:+[$extra]}" </dev/null >&2 ||
        die "pip could not install what pyproject.toml names (above): is the network up?"
    printf '%s %s\n' "$wanted" "$extra" >"$stamp"
}
