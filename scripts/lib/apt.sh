# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Fetches and unpacks Debian packages without touching the machine's own apt: a private configuration
# under build/, derived from the machine's (same mirror, same keys, same proxy settings).

APT_DIR=$KVMLET_BUILD/apt
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

# apt_suites: every suite that something is fetched from.
apt_suites() {
    local codename
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

# apt_configure: writes the private configuration.
apt_configure() {
    local mirror uri keyring suite
    mirror=$(debian_mirror)
    uri=${mirror% *}
    keyring=${mirror#* }
    [ -r "$keyring" ] || keyring=$DEBIAN_KEYRING
    [ -r "$keyring" ] || die "$EX_UNAVAILABLE" "no keyring $DEBIAN_KEYRING: install debian-archive-keyring"
    mkdir -p "$APT_DIR"/{lists/partial,cache/archives/partial}
    for suite in $(apt_suites); do
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite"
    done >"$APT_DIR/sources.list"
    cat >"$APT_DIR/apt.conf" <<EOF
Dir::Etc::sourcelist "$APT_DIR/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$APT_DIR/lists";
Dir::Cache "$APT_DIR/cache";
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

# apt_private TOOL ARGUMENTS...: apt-get or apt-cache with the private configuration.
apt_private() {
    local tool=$1
    shift
    "$tool" -c "$APT_DIR/apt.conf" "$@"
}

# apt_ready: package lists are there and younger than a day (or have just been asked for).
apt_ready() {
    if [ -z "$(find "$APT_DIR/updated" -mtime -1 2>/dev/null)" ]; then
        say "fetching Debian's package lists"
        apt_configure
        quietly "$APT_DIR/update.log" apt_private apt-get update -o APT::Update::Error-Mode=any ||
            die "$EX_UNAVAILABLE" "Debian's package lists cannot be fetched: check the network and /etc/apt"
        touch "$APT_DIR/updated"
    fi
}

# apt_fetch DIR PACKAGE...: downloads the packages (name, name/suite or name=version) into DIR.
apt_fetch() {
    local dir=$1
    shift
    mkdir -p "$dir"
    (cd "$dir" && quietly "$APT_DIR/download.log" apt_private apt-get download "$@") ||
        die "$EX_UNAVAILABLE" "cannot download $*: check the network, remove build/apt and try again"
}

# unpack_debs DIR DEB...
unpack_debs() {
    local dir=$1 deb
    shift
    mkdir -p "$dir"
    for deb; do
        dpkg-deb -x "$deb" "$dir" || die "$EX_SOFTWARE" "cannot unpack $deb"
    done
}
