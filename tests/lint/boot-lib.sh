#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Usage: tests/lint/boot-lib.sh
#
# A boot test ends at its first command that fails, and is reported as failed (tests/boot/lib.sh).
set -euo pipefail
[ -c /dev/kvm ] || { echo "SKIP boot-lib: no /dev/kvm here" && exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cat >"$out/script" <<'EOF'
. "$1/tests/boot/lib.sh"
fails_in_the_middle() { true; false; true; }
passes() { true; }
run_test bad fails_in_the_middle
run_test good passes
EOF
root=$(readlink -f "$(dirname "$(readlink -f "$0")")/../..")
actual=$(LAB='' TEST_OUT=$out TEST_RESULTS='' TEST_FILTER=. bash "$out/script" "$root")
expected='FAIL bad: status 1 of: false
PASS good'
[ "$actual" = "$expected" ] || { printf 'got:\n%s\nnot:\n%s\n' "$actual" "$expected" && exit 1; }
