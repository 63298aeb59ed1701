#!/bin/sh
# Writes counts.json into the folder that becomes the run's artifacts.
set -eu
lines=$(wc -l <"$1" | tr -d ' ')
words=$(wc -w <"$1" | tr -d ' ')
characters=$(wc -m <"$1" | tr -d ' ')
printf '{"file":"%s","lines":%s,"words":%s,"characters":%s}\n' "$1" "$lines" "$words" "$characters" \
    >"$TIMELAB_OUTPUT/counts.json"
