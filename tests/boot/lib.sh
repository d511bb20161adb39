# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by every test script of tests/boot/GROUP. A test is a function:
#
#   check_answer() {
#       guest 'uname -r; exit 5' --cpus 2
#       assert_status 5
#       assert_grep '^6\.'
#   }
#   run_test answer check_answer
#
# It runs in a directory of its own, ends at the first assertion that does not hold, and gets one
# line of the report. Files it leaves are kept when it fails.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/common.sh"
# What runs here: the guests are of this machine's architecture, x86_64 or arm64.
ARCH=$(machine_arch)
KVMLET=$(kvmlet_binary "$ARCH")
GUEST_DIR=$KVMLET_BUILD/guest/$ARCH
TEST_PROGRAMS=$(build_folder "$ARCH")/tests
. "$(dirname "${BASH_SOURCE[0]}")/arch-$ARCH.sh"
# Generous: a loaded machine emulating a machine that runs a virtual one is slow.
KV_TIMEOUT=${KV_TIMEOUT:-150s}
KV_STATUS=0
# How often a test may fail in the lab of this architecture before it has failed; once, if the
# architecture's file has nothing else.
TEST_TRIES=1
[ -z "${LAB:-}" ] || TEST_TRIES=$LAB_TRIES
# What the guest wrote to its serial port, what kvmlet said, and the verdict, of the last run.
KV_OUTPUT=output KV_ERRORS=errors KV_VERDICT=verdict.json

report() { # report WORD NAME [WHY]
    local line="$1 $2${3:+: $3}"
    printf '%s\n' "$line"
    [ -z "${TEST_RESULTS:-}" ] || printf '%s\n' "$line" >>"$TEST_RESULTS"
}

# is_reported NAME: a lab that ended before its tests did has reported it already.
is_reported() {
    [ -n "${TEST_RESULTS:-}" ] && sed 's/^[A-Z]* //; s/: .*//; s/ $//' "$TEST_RESULTS" | grep -Fxq -- "$1"
}

# fail WHY: ends the test.
fail() {
    printf '%s\n' "$*" >"$TEST_WORK/why"
    exit 1
}

# skip WHY: ends the test; the host lacks something.
skip() {
    printf '%s\n' "$*" >"$TEST_WORK/why"
    exit 77
}

# figure TEXT: what the test measured, for people; it is shown beneath the test's line.
figure() { printf '%s\n' "$*" | tee -a "$TEST_WORK/figures"; }

# Why the test ended when nobody said it: the command that failed. For the ERR trap.
note_failure() { [ -s "$TEST_WORK/why" ] || printf 'status %s of: %s\n' "$1" "$2" >"$TEST_WORK/why"; }

# try_test FUNCTION [ARGUMENT]...: runs it once, in TEST_WORK; its status, TEST_WHY is the reason of another than 0.
try_test() {
    local status
    TEST_WORK=$(mktemp -d /tmp/kvmlet-test.XXXXXX)
    (
        set -eEu
        trap 'note_failure $? "$BASH_COMMAND"' ERR
        cd "$TEST_WORK" || exit 70
        "$@"
    ) >"$TEST_WORK/log" 2>&1 </dev/null
    status=$?
    TEST_WHY=$(head -n 1 "$TEST_WORK/why" 2>/dev/null)
    return "$status"
}

# run_test NAME FUNCTION [ARGUMENT]...: a failure in an emulator that is at fault now and then
# (TEST_TRIES, see README.md) is tried again, and told.
run_test() {
    local name=$1 status try before=
    shift
    [[ $name =~ ${TEST_FILTER:-.} ]] || return 0
    ! is_reported "$name" || return 0
    for ((try = 1; ; try++)); do
        # Not before "||": bash would overlook every failed command in there.
        try_test "$@"
        status=$?
        case $status in
            0)
                report PASS "$name" "${before:+at try $try, before: $before}"
                [ ! -f "$TEST_WORK/figures" ] || sed 's/^/    /' "$TEST_WORK/figures"
                ;;
            77) report SKIP "$name" "${TEST_WHY:-no reason given}" ;;
            *)
                keep_files "$name"
                before=${TEST_WHY:-status $status}
                [ "$try" -ge "$TEST_TRIES" ] || { rm -rf "$TEST_WORK" && continue; }
                report FAIL "$name" "$before"
                ;;
        esac
        rm -rf "$TEST_WORK"
        return 0
    done
}

# long_test NAME FUNCTION [ARGUMENT]...: the same, of which a shorter test shows the most: only where
# KVMLET_LONG is 1, and when a FILTER was given.
long_test() {
    if [ "${KVMLET_LONG:-0}" = 1 ] || [ "${TEST_FILTER:-.}" != . ]; then
        run_test "$@"
    elif ! is_reported "$1"; then
        report SKIP "$1" "a long test: KVMLET_LONG=1 runs it"
    fi
}

# both_test NAME FUNCTION [ARGUMENT]...: what x86_64 shows for both architectures is a long test on arm64.
both_test() {
    if [ "$ARCH" = arm64 ]; then
        long_test "$@"
    else
        run_test "$@"
    fi
}

# keep_files NAME: shows and keeps what a failed test leaves.
keep_files() {
    local file kept=$TEST_OUT/${1//\//_}
    for file in log "$KV_ERRORS" "$KV_OUTPUT" "$KV_VERDICT"; do
        [ -s "$TEST_WORK/$file" ] || continue
        printf '    --- %s (its end)\n' "$file"
        tail -n 25 "$TEST_WORK/$file" | tr -d '\r' | cut -c 1-200 | sed 's/^/    /'
    done
    mkdir -p "$kept"
    find "$TEST_WORK" -maxdepth 1 -type f -size -1024k -exec cp -t "$kept" {} +
}

# kv FLAG...: runs kvmlet to its end; KV_STATUS is its status.
kv() {
    KV_STATUS=0
    rm -f "$KV_VERDICT"
    "$KVMLET" run --timeout "$KV_TIMEOUT" --verdict "$KV_VERDICT" "$@" \
        >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null || KV_STATUS=$?
}

# kv_start FLAG...: the same in the background; KV_PID is its process.
kv_start() {
    rm -f "$KV_VERDICT"
    "$KVMLET" run --timeout "$KV_TIMEOUT" --verdict "$KV_VERDICT" "$@" \
        >"$KV_OUTPUT" 2>"$KV_ERRORS" </dev/null &
    KV_PID=$!
}

# kv_wait: waits for the end of what kv_start started.
kv_wait() {
    KV_STATUS=0
    wait "$KV_PID" || KV_STATUS=$?
}

# guest_flags TEXT: fills GUEST_FLAGS with the kernel and an initrd that runs the shell text.
# GUEST_KERNEL is one of GUEST_KERNELS.
guest_flags() {
    local kernel=${GUEST_KERNEL:-6.12} image version
    case $kernel in
        vmlinux-*) image=$kernel version=${kernel#vmlinux-} ;;
        *) image=vmlinuz-$kernel version=$kernel ;;
    esac
    printf '%s\n' "$1" >exec.sh
    {
        cat "$GUEST_DIR/initrd-$version.img"
        echo exec.sh | cpio -o -H newc --quiet
    } >initrd.img
    GUEST_FLAGS=(--kernel "$GUEST_DIR/$image" --initrd initrd.img)
}

# with_append FLAG...: gives the kernel a quiet console, beside what --append among the flags says.
with_append() {
    local append="quiet loglevel=${GUEST_LOGLEVEL:-1} no_timer_check"
    GUEST_FLAGS_MORE=()
    while [ $# -gt 0 ]; do
        case $1 in
            --append) append="$append $2" && shift ;;
            *) GUEST_FLAGS_MORE+=("$1") ;;
        esac
        shift
    done
    GUEST_FLAGS_MORE+=(--append "$append")
}

# guest TEXT [FLAG]...: boots Linux, runs the text in it, powers off; the text's status is KV_STATUS.
guest() {
    local text=$1
    shift
    guest_flags "$text"
    with_append "$@"
    kv "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
    rm -f initrd.img
}

# guest_start TEXT [FLAG]...: the same in the background.
guest_start() {
    local text=$1
    shift
    guest_flags "$text"
    with_append "$@"
    kv_start "${GUEST_FLAGS[@]}" "${GUEST_FLAGS_MORE[@]}"
}

# wait_for PATTERN [FILE] [SECONDS]: until a line of the file (the guest's output) matches.
wait_for() {
    local pattern=$1 file=${2:-$KV_OUTPUT} left=$((${3:-120} * 5))
    until grep -Eq -- "$pattern" "$file" 2>/dev/null; do
        if [ -n "${KV_PID:-}" ] && ! kill -0 "$KV_PID" 2>/dev/null; then
            # It may have written its last line between the two looks.
            grep -Eq -- "$pattern" "$file" && return 0
            fail "kvmlet ended before '$pattern' appeared in $file"
        fi
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "'$pattern' did not appear in $file"
        sleep 0.2
    done
}

assert_status() { # assert_status N
    [ "$KV_STATUS" = "$1" ] || fail "status is $KV_STATUS, not $1: $(tail -n 1 "$KV_ERRORS")"
}

assert_equal() { # assert_equal WHAT ACTUAL EXPECTED
    [ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

assert_between() { # assert_between WHAT NUMBER LOW HIGH
    [ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || fail "$1 is $2, not between $3 and $4"
}

assert_grep() { # assert_grep PATTERN [FILE]
    tr -d '\r' <"${2:-$KV_OUTPUT}" | grep -Eq -- "$1" || fail "no line of ${2:-$KV_OUTPUT} matches '$1'"
}

assert_no_grep() { # assert_no_grep PATTERN [FILE]
    local line
    line=$(tr -d '\r' <"${2:-$KV_OUTPUT}" | grep -E -m 1 -- "$1") || return 0
    fail "${2:-$KV_OUTPUT} has the line: $line"
}

# json_get KEY [FILE]: a value of the verdict; KEY may go deeper with dots: vcpus.0.rip
json_get() {
    /usr/bin/python3 -ISc '
import json, sys
value = json.load(open(sys.argv[2]))
for key in sys.argv[1].split("."):
    value = value[int(key)] if isinstance(value, list) else value[key]
print(value if isinstance(value, str) else json.dumps(value))' "$1" "${2:-$KV_VERDICT}"
}

assert_json() { # assert_json KEY VALUE [FILE]
    local value
    value=$(json_get "$1" "${3:-$KV_VERDICT}") || fail "${3:-$KV_VERDICT} has no $1"
    [ "$value" = "$2" ] || fail "$1 is '$value' in ${3:-$KV_VERDICT}, not '$2'"
}

# section NAME [FILE]: the lines that the guest printed after '== NAME'.
section() {
    tr -d '\r' <"${2:-$KV_OUTPUT}" | awk -v name="$1" '/^== / { on = ($2 == name); next } on'
}

# needs_lab: for tests that change the machine: only the lab can be thrown away afterwards.
needs_lab() { [ -n "${LAB:-}" ] || skip "changes the machine it runs on: only done in the lab"; }

# needs_tool PROGRAM...
needs_tool() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
}

[ -c /dev/kvm ] || { report SKIP "$(basename "$0" .sh)" "no /dev/kvm here" && exit 0; }
