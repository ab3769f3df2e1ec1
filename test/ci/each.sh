#!/bin/sh
# sh test/ci/each.sh COMMAND…: runs each command line to its end, whatever became of the ones before it, then says of each how it ended.
# A command may call this script again; the outermost tells it all. The lines (STATUS, tab, COMMAND with those around it) are also left
# in the file `parts` of $TEST_RESULTS, and each command knows its own as $TEST_PART: test/ci/verdict.ts reads both.
# Exit status: 0 all ended with 0, 1 some did not, 130 interrupted: what was running has ended by then, and nothing more is begun.
set -u

outermost=
if [ -z "${TEST_PARTS_FILE-}" ]; then
  outermost=yes
  if [ -n "${TEST_RESULTS-}" ]; then
    TEST_PARTS_FILE=$TEST_RESULTS/parts
  else
    TEST_PARTS_FILE=$(mktemp "${TMPDIR:-/tmp}/tenet-parts.XXXXXX") || exit 1
    trap 'rm -f "$TEST_PARTS_FILE"' EXIT
  fi
  export TEST_PARTS_FILE
fi
interrupted=
trap 'interrupted=yes' INT

around=${TEST_PART:+$TEST_PART > }
failed=0
for command in "$@"; do
  TEST_PART=$around$command sh -c "$command"
  status=$?
  printf '%s\t%s\n' "$status" "$around$command" >>"$TEST_PARTS_FILE" || failed=1
  [ "$status" -eq 0 ] || failed=1
  [ -z "$interrupted" ] || exit 130
done

if [ -n "$outermost" ]; then
  printf '\n'
  while IFS="$(printf '\t')" read -r status part; do
    if [ "$status" -eq 0 ]; then printf '  passed  %s\n' "$part"; else printf '  FAILED  %s (status %s)\n' "$part" "$status"; fi
  done <"$TEST_PARTS_FILE"
fi
exit "$failed"
