# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Fetches and unpacks Debian packages without touching the machine's own apt: a private configuration
# for each architecture under build/apt, derived from the machine's (same mirror, same keys, same proxy
# settings). ARCH is x86_64 or arm64, or such a word with a suite behind a slash: of that suite alone.

DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# host_codename: bookworm, trixie...
host_codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release | tr -d '"'; }

# deb822_mirror CODENAME FILE...: "URI KEYRING" of the first stanza that carries the suite CODENAME.
deb822_mirror() {
    local codename=$1
    shift
    awk -v want="$codename" '
        function flush(   n, i, s) {
            if (found) return
            n = split(field["suites"], s, /[ \t]+/)
            for (i = 1; i <= n; i++)
                if (s[i] == want && tolower(field["enabled"]) != "no" && field["types"] ~ /(^|[ \t])deb([ \t]|$)/) {
                    split(field["uris"], u, /[ \t]+/)
                    print u[1], (field["signed-by"] ~ /^\// ? field["signed-by"] : "-")
                    found = 1
                    exit
                }
            delete field
        }
        FNR == 1 { flush() }
        /^#/ { next }
        /^[ \t]*$/ { flush(); next }
        /^[^ \t].*:/ { key = tolower($1); sub(/:.*/, "", key); sub(/^[^:]*:[ \t]*/, ""); field[key] = $0 }
        END { flush() }' "$@"
}

# classic_mirror CODENAME FILE...: the same from one-line sources.
classic_mirror() {
    local codename=$1
    shift
    awk -v want="$codename" '
        $1 == "deb" {
            keyring = "-"; line = $0
            if (match(line, /\[[^]]*\]/)) {
                options = substr(line, RSTART, RLENGTH)
                if (match(options, /signed-by=[^] ]+/)) keyring = substr(options, RSTART + 10, RLENGTH - 10)
                sub(/\[[^]]*\]/, "", line)
            }
            split(line, part, /[ \t]+/)
            if (part[3] == want) { print part[2], keyring; exit }
        }' "$@"
}

# debian_mirror: "URI KEYRING" of the machine's own Debian mirror. KVMLET_DEBIAN_MIRROR overrides the URI.
debian_mirror() {
    local codename found='' files
    codename=$(host_codename)
    files=$(find /etc/apt/sources.list.d -name '*.sources' 2>/dev/null || true)
    # shellcheck disable=SC2086 # file names of apt's own directory, no blanks allowed there
    [ -z "$files" ] || found=$(deb822_mirror "$codename" $files)
    if [ -z "$found" ]; then
        files=$(find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.list' 2>/dev/null || true)
        # shellcheck disable=SC2086
        [ -z "$files" ] || found=$(classic_mirror "$codename" $files)
    fi
    [ -z "${KVMLET_DEBIAN_MIRROR:-}" ] || found="$KVMLET_DEBIAN_MIRROR -"
    [ -n "$found" ] || die "$EX_UNAVAILABLE" \
        "no Debian mirror in /etc/apt/sources.list*: this needs Debian 12 or newer (or set KVMLET_DEBIAN_MIRROR)"
    printf '%s\n' "$found"
}

# apt_suites ARCH: every suite that something is fetched from.
apt_suites() {
    local codename
    case $1 in
        */*) printf '%s\n' "${1#*/}" && return ;;
    esac
    codename=$(host_codename)
    case $codename in
        bookworm) printf '%s\n' bookworm bookworm-backports ;;
        trixie) printf '%s\n' trixie bookworm ;;
        *) printf '%s\n' "$codename" trixie bookworm ;;
    esac
}

# newer_suite: the suite that carries Linux 6.12 and a QEMU with SR-IOV devices (8.0 or newer).
newer_suite() {
    if [ "$(host_codename)" = bookworm ]; then echo bookworm-backports; else echo trixie; fi
}

# apt_dir ARCH
apt_dir() { printf '%s\n' "$KVMLET_BUILD/apt/$1"; }

# apt_configure ARCH: writes the private configuration.
apt_configure() {
    local mirror uri keyring suite dir arch
    dir=$(apt_dir "$1")
    arch=$(debian_arch "${1%%/*}")
    mirror=$(debian_mirror)
    uri=${mirror% *}
    keyring=${mirror#* }
    [ -r "$keyring" ] || keyring=$DEBIAN_KEYRING
    [ -r "$keyring" ] || die "$EX_UNAVAILABLE" "no keyring $DEBIAN_KEYRING: install debian-archive-keyring"
    mkdir -p "$dir"/{lists/partial,cache/archives/partial}
    : >"$dir/nothing-installed"
    for suite in $(apt_suites "$1"); do
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite"
    done >"$dir/sources.list"
    cat >"$dir/apt.conf" <<EOF
APT::Architecture "$arch";
#clear APT::Architectures;
APT::Architectures { "$arch"; };
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$dir/lists";
Dir::Cache "$dir/cache";
Dir::Cache::archives "archives";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Debug::NoLocking "true";
#clear DPkg::Post-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
}

# apt_private ARCH TOOL ARGUMENTS...: apt-get or apt-cache with the private configuration.
apt_private() {
    local arch=$1 tool=$2
    shift 2
    "$tool" -c "$(apt_dir "$arch")/apt.conf" "$@"
}

# apt_update ARCH: fetches the package lists, unless they are younger than a day.
apt_update() {
    local dir
    dir=$(apt_dir "$1")
    if [ -z "$(find "$dir/updated" -mtime -1 2>/dev/null)" ]; then
        say "fetching Debian's package lists for $1"
        apt_configure "$1"
        quietly "$dir/update.log" apt_private "$1" apt-get update -o APT::Update::Error-Mode=any ||
            die "$EX_UNAVAILABLE" "Debian's package lists cannot be fetched: check the network and /etc/apt"
        touch "$dir/updated"
    fi
}

# apt_ready ARCH: package lists are there.
apt_ready() { with_lock "apt-${1//\//-}" apt_update "$1"; }

# apt_fetch ARCH DIR PACKAGE...: downloads the packages (name, name/suite or name=version) into DIR.
apt_fetch() {
    local arch=$1 dir=$2
    shift 2
    mkdir -p "$dir"
    (cd "$dir" && quietly "$(apt_dir "$arch")/download.log" apt_private "$arch" apt-get download "$@") ||
        die "$EX_UNAVAILABLE" "cannot download $*: check the network, remove build/apt and try again"
}

# apt_fetch_all ARCH DIR [OPTION]... PACKAGE...: the packages and what they depend on, without what this
# machine has already.
apt_fetch_all() {
    local arch=$1 dir=$2
    shift 2
    mkdir -p "$dir/partial"
    quietly "$(apt_dir "$arch")/download.log" apt_private "$arch" apt-get install --download-only --yes \
        -o "Dir::Cache::archives=$dir" "$@" ||
        die "$EX_UNAVAILABLE" "cannot download ${*: -1}: check the network, remove build/apt and try again"
}

# unpack_debs DIR DEB...: like 'dpkg-deb --extract', which would put a directory in the place of a link to one.
unpack_debs() {
    local dir=$1 deb
    shift
    mkdir -p "$dir"
    for deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" --keep-directory-symlink --no-same-owner ||
            die "$EX_SOFTWARE" "cannot unpack $deb"
    done
}

# merge_usr DIR: one /usr, as an installed Debian has it. Packages are unpacked into that.
merge_usr() {
    local folder
    for folder in bin sbin lib; do
        mkdir -p "$1/usr/$folder"
        ln -s "usr/$folder" "$1/$folder"
    done
}

# relative_links DIR: absolute links would lead out of DIR when another system looks at it.
relative_links() {
    local link
    find "$1" -lname '/*' | while read -r link; do
        ln -sfn "$(realpath -ms --relative-to="$(dirname "$link")" "$1$(readlink "$link")")" "$link"
    done
}

# root_make DIR ARCH PACKAGE...
root_make() {
    local dir=$1 arch=$2
    shift 2
    [ "$(cat "$dir/packages" 2>/dev/null)" != "$*" ] || return 0
    apt_ready "$arch"
    say "fetching Debian's packages for ${dir#"$KVMLET_ROOT/"}"
    rm -rf "$dir.new" "$dir.debs"
    # On top of nothing: everything that the packages depend on comes along.
    apt_fetch_all "$arch" "$dir.debs" -o "Dir::State::status=$(apt_dir "$arch")/nothing-installed" "$@"
    merge_usr "$dir.new"
    unpack_debs "$dir.new" "$dir".debs/*.deb
    relative_links "$dir.new"
    rm -rf "$dir.debs"
    printf '%s\n' "$*" >"$dir.new/packages"
    publish_dir "$dir.new" "$dir"
}

# debian_root DIR ARCH PACKAGE...: DIR is a root file system with the packages and all they depend on, unpacked
# and not set up: nothing of them is run. Quick when it is there.
debian_root() {
    local name=${1#"$KVMLET_BUILD/"}
    [ "$(cat "$1/packages" 2>/dev/null)" != "${*:3}" ] || return 0
    with_lock "${name//\//-}" root_make "$@" >&2
}
