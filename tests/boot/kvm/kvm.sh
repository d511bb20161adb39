# SPDX-License-Identifier: Apache-2.0
# The tests of tests/kvm, tiny guests on the real KVM, on the lab's. Every GoogleTest case is a line of
# the report.
. "$(dirname "$0")/../lib.sh"

# results NAME LOG: "PASS|FAIL|SKIP NAME/CASE [WHY]" for every case that has ended.
results() {
    awk -v name="$1" '
        # GoogleTest gives the place of a message on one line, the text on the next.
        message { why = why == "" ? $0 : why; message = 0 }
        /: (Skipped|Failure)$/ { message = 1 }
        /^\[ RUN / { why = ""; running = $4 }
        /^\[ +OK \]/ && running { print "PASS", name "/" running; running = "" }
        /^\[ +SKIPPED \]/ && running { print "SKIP", name "/" running, why; running = "" }
        /^\[ +FAILED +\]/ && running { print "FAIL", name "/" running, why; running = "" }
        END { if (running) print "FAIL", name "/" running, "the program ended in this case" }' "$2"
}

# What would end the lab is not run in it.
never=
[ -z "${LAB:-}" ] || never=$LAB_NEVER

# left_out PROGRAM: the cases of it that are not run, "SUITE.CASE" each.
left_out() {
    [ -n "$never" ] || return 0
    "$1" --gtest_list_tests --gtest_filter="$never" | awk '/^[^ ].*\.$/ { suite = $1 } /^ / { print suite $1 }'
}

run_program() { # run_program PROGRAM
    local name=${1##*/} log=$TEST_OUT/${1##*/}.log status=0 word test why
    "$1" --gtest_color=no --gtest_filter="${KVM_FILTER:-*}${never:+-$never}" >"$log" 2>&1 </dev/null || status=$?
    while read -r test; do
        [[ $name/$test =~ ${TEST_FILTER:-.} ]] && ! is_reported "$name/$test" || continue
        report SKIP "$name/$test" "it ends the emulated machine"
    done < <(left_out "$1")
    while read -r word test why; do
        [[ $test =~ ${TEST_FILTER:-.} ]] && ! is_reported "$test" || continue
        report "$word" "$test" "$why"
    done < <(results "$name" "$log")
    # A program that dies outside of its cases.
    if [ "$status" != 0 ] && ! grep -q '^\[  FAILED' "$log"; then
        report FAIL "$name" "status $status: $(tail -n 1 "$log")"
    fi
}

for program in "$TEST_PROGRAMS"/kvm/*_test; do
    if [ -x "$program" ]; then
        run_program "$program"
    else
        report FAIL kvm "no test programs in $TEST_PROGRAMS/kvm"
    fi
done
