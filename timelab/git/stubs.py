"""The texts of our git hooks: POSIX sh, no Python until a commit touches a spec (design 3, facts/peers.md section 4).

Each text is whole in itself, carries a marker with its version, and differs from its siblings only below the shared
part. `.githooks/` of our own repository holds the same texts; a test compares them.
"""

from __future__ import annotations

import shlex

from timelab.plan import EXCLUDED_FOLDERS, SPEC_PATTERNS

HOOKS: tuple[str, ...] = ("post-commit", "post-rewrite", "post-merge", "pre-commit")
"""The hooks that we install."""

VERSION = 2
MARKER = "# timelab hook "
_WATCH_LIMIT_CHARS = 100_000

_HEAD = """\
#!/bin/sh
{marker}{version}: {hook}
# Written by `timelab init`; `timelab init --undo` takes it away and puts back what was here.
set -eu

chained={chained}
"""

# The repository, without a process: git starts hooks at the top of the work tree and sets GIT_DIR where it is no .git.
_LOCATE = """
locate() {
  git_dir=${GIT_DIR:-.git}
  if [ -f "$git_dir" ]; then
    IFS= read -r git_dir <"$git_dir" || :
    git_dir=${git_dir#gitdir: }
  fi
  common_dir=${GIT_COMMON_DIR:-$git_dir}
  if [ -f "$git_dir/commondir" ]; then
    IFS= read -r common_dir <"$git_dir/commondir" || :
    case $common_dir in /*) ;; *) common_dir=$git_dir/$common_dir ;; esac
  fi
  lab=$common_dir/timelab
}

is_busy() {
  [ -d "$git_dir/rebase-merge" ] || [ -d "$git_dir/rebase-apply" ] || [ -d "$git_dir/sequencer" ] ||
    [ -e "$git_dir/CHERRY_PICK_HEAD" ] || [ -e "$git_dir/BISECT_LOG" ]
}
"""

_GONE = """
is_there() {
  if [ ! -x "$1" ]; then
    echo 'timelab: the program of git config timelab.command is gone; to set it anew: timelab init' >&2
    return 1
  fi
}
"""

# `watch` holds one pathspec a line. Beyond a bound they would not fit on a command line (ARG_MAX), and git 2.39's
# diff-tree knows no --pathspec-from-file, so then the names are compared by grep. What is printed is quoted by git
# itself: it cannot drive a terminal.
_CHANGED = """
changed_names() {
  set -- -r --root --no-commit-id --name-only --diff-filter=d --diff-merges=first-parent ${1:+"$1"} HEAD
  compare=$*
  watched=''
  if [ -s "$lab/watch" ]; then watched=$(cat "$lab/watch") || watched=''; fi
  many=''
  if [ ${#watched} -gt @LIMIT@ ]; then
    many=1
    watched=$(LC_ALL=C grep '^:(top,glob)' "$lab/watch") || watched=''
  fi
  old_ifs=$IFS
  IFS='
'
  set -f
  # shellcheck disable=SC2086 # one word a line
  set -- "$@" -- $watched @PATTERNS@
  set +f
  IFS=$old_ifs
  found=$(git --no-literal-pathspecs -c core.quotePath=true diff-tree "$@" 2>/dev/null) || return 0
  if [ -z "$found" ] && [ -n "$many" ]; then
    # shellcheck disable=SC2086 # our own words, none with a space
    found=$(git diff-tree -z $compare | tr '\\0\\n' '\\n?' | sed 's/^/:(top,literal)/' |
      LC_ALL=C grep -Fx -f "$lab/watch") || found=''
  fi
}
"""

# What trust is judged by is written down now, for it changes while a worker waits: design 4. HEAD's reflog gives the
# commit, how it came about, and (second entry) where HEAD stood before. Each linked work tree has a FETCH_HEAD of its
# own, and what was fetched in one can be committed in another.
_SAVE = """
save_entry() {
  hook=$1 base=$2
  facts=$(git -c i18n.logOutputEncoding=UTF-8 log -g -2 --no-show-signature --no-color \\
    --format='commit %H%nreflog %gs%ncommitter-name %cn%ncommitter-email %ce' HEAD 2>/dev/null) || facts=''
  [ -n "$facts" ] || facts="commit $(git rev-parse --verify HEAD)" || return 1
  oid=${facts#commit }
  oid=${oid%%
*}
  [ -d "$lab/queue" ] || mkdir -p "$lab/queue" || return 1
  {
    printf 'timelab-queue 1\\nhook %s\\n' "$hook"
    if [ -n "$base" ]; then printf 'since %s\\n' "$base"; fi
    printf '%s\\n' "$facts"
    git for-each-ref --format='remote %(objectname)' refs/remotes
    for heads in "$common_dir/FETCH_HEAD" "$common_dir"/worktrees/*/FETCH_HEAD; do
      if [ -f "$heads" ]; then
        while read -r fetched _; do printf 'fetched %s\\n' "$fetched"; done <"$heads"
      fi
    done
    printf 'top %s\\nend\\n' "$PWD"
  } >"$lab/queue/.$hook.$oid.$$" && mv -f "$lab/queue/.$hook.$oid.$$" "$lab/queue/$hook.$oid.$$.job"
}

announce() {
  specs='' spec_count=0 files='' file_count=0
  while IFS= read -r line; do
    name=${line#\\"}
    name=${name%\\"}
    kind=''
    case $name in
      timelab.toml) continue ;;
      *.json | *.yaml | *.yml | *.toml) kind=$name ;;
    esac
    case $kind in
      specs/* | ????/??/??/ai-team/specs/* | *.spec.json | *.spec.yaml | *.spec.yml | *.spec.toml)
        spec_count=$((spec_count + 1))
        if [ "$spec_count" -le 5 ]; then specs=${specs:+$specs, }$line; fi
        ;;
      *)
        file_count=$((file_count + 1))
        if [ "$file_count" -le 5 ]; then files=${files:+$files, }$line; fi
        ;;
    esac
  done <<EOF
$found
EOF
  if [ "$spec_count" -gt 5 ]; then specs="$specs and $((spec_count - 5)) more"; fi
  if [ "$file_count" -gt 5 ]; then files="$files and $((file_count - 5)) more"; fi
  if [ "$spec_count" -gt 0 ]; then printf 'timelab: queued %s\\n' "$specs" >&2; fi
  # Which specs read a file only the worker knows.
  if [ "$file_count" -gt 0 ]; then printf 'timelab: queued, for %s changed\\n' "$files" >&2; fi
}
"""

# All three descriptors are closed: `git commit | cat`, and every GUI client, would wait for a child that holds one.
_WORK = """
start_worker() {
  program='' wait_for_it=''
  settings=$(git config --get-regexp '^timelab\\.(command|wait)$') || settings=''
  while IFS= read -r line; do
    case $line in
      'timelab.command '*) program=${line#timelab.command } ;;
      'timelab.wait') wait_for_it=true ;;
      'timelab.wait '*) wait_for_it=${line#timelab.wait } ;;
    esac
  done <<EOF
$settings
EOF
  is_there "$program" || return 0
  (
    unset GIT_DIR GIT_COMMON_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_OBJECT_DIRECTORY \\
      GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_CONFIG GIT_CONFIG_PARAMETERS GIT_CONFIG_COUNT \\
      GIT_REFLOG_ACTION GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_EXEC_PATH GIT_QUARANTINE_PATH GIT_LITERAL_PATHSPECS \\
      GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
    exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
    case ${TIMELAB_WAIT:-$wait_for_it} in
      1 | true | yes | on) "$program" work --wait </dev/null >&2 ;;
      *)
        if command -v setsid >/dev/null 2>&1; then
          setsid "$program" work </dev/null >/dev/null 2>&1 &
        else
          nohup "$program" work </dev/null >/dev/null 2>&1 &
        fi
        ;;
    esac
  ) || :
}
"""

_CHAIN = """
if [ -x "$chained" ]; then exec "$chained" "$@"; fi
exit 0
"""

_POST_COMMIT = """
queue_commit() {
  if [ "${TIMELAB_HOOK:-}" = off ]; then return 0; fi
  locate
  if [ ! -d "$lab" ] || is_busy; then return 0; fi
  changed_names ''
  if [ -z "$found" ]; then return 0; fi
  save_entry post-commit '' || return 0
  announce
  start_worker
}

queue_commit || :
"""

_POST_MERGE = """
queue_merge() {
  if [ "${TIMELAB_HOOK:-}" = off ] || [ "$1" = 1 ]; then return 0; fi
  locate
  if [ ! -d "$lab" ] || is_busy; then return 0; fi
  changed_names ORIG_HEAD
  if [ -z "$found" ]; then return 0; fi
  before=$(git rev-parse --verify --quiet 'ORIG_HEAD^{commit}') || return 0
  save_entry post-merge "$before" || return 0
  announce
  start_worker
}

queue_merge "${1:-0}" || :
"""

_POST_REWRITE = """
queue_rewrite() {
  # The fixups of a rebase arrive one by one as amends; the rebase says at its end what became of them.
  if [ "$1" = amend ]; then
    if is_busy; then return 0; fi
    set -- "$1" "$lab/queue"/*.job
    if [ ! -e "$2" ]; then
      git notes --ref=refs/notes/timelab list "${pairs%% *}" >/dev/null 2>&1 || return 0
    fi
  fi
  newest=${pairs##*
}
  newest=${newest#* }
  newest=${newest%% *}
  [ -d "$lab/queue" ] || mkdir -p "$lab/queue" || return 0
  {
    printf 'timelab-queue 1\\nhook post-rewrite\\ncause %s\\n' "$1"
    while read -r old new _; do printf 'rewrite %s %s\\n' "$old" "$new"; done <<EOF
$pairs
EOF
    printf 'top %s\\nend\\n' "$PWD"
  } >"$lab/queue/.post-rewrite.$newest.$$" || return 0
  mv -f "$lab/queue/.post-rewrite.$newest.$$" "$lab/queue/post-rewrite.$newest.$$.job" || return 0
  start_worker
}

locate
if [ "${TIMELAB_HOOK:-}" != off ] && [ -d "$lab" ]; then
  pairs=$(cat)
  if [ -z "$pairs" ]; then exit 0; fi
  queue_rewrite "${1:-}" || :
  if [ ! -x "$chained" ]; then exit 0; fi
  printf '%s\\n' "$pairs" | "$chained" "$@"
  exit
fi
"""

# GIT_INDEX_FILE is not always .git/index: `git commit -a` and `git commit FILE` stage into another one.
_PRE_COMMIT = """
check_staged() {
  # Before the first commit there is no HEAD to compare with: then it is checked always.
  if [ "${TIMELAB_HOOK:-}" = off ]; then return 0; fi
  if git --no-literal-pathspecs diff-index --cached --quiet --diff-filter=d HEAD -- \\
    @PATTERNS@ \\
    ':(top)secrets' ':(top,glob)**/.env*' 2>/dev/null; then return 0; fi
  program=$(git config timelab.command) || program=''
  is_there "$program" || return 0
  index=${GIT_INDEX_FILE:-}
  case $index in '' | /*) ;; *) index=$PWD/$index ;; esac
  status=0
  TIMELAB_INDEX_FILE=$index "$program" check --staged </dev/null >&2 || status=$?
  case $status in
    0) ;;
    65 | 130) exit "$status" ;;
    *) echo "timelab: check ended with $status; the commit goes on" >&2 ;;
  esac
}

check_staged
"""

_FRAMEWORK = """
# pre-commit refuses to install itself beside core.hooksPath, so this hook calls it (trap T2).
for framework in .venv/bin/pre-commit "$(command -v pre-commit || :)"; do
  if [ -x "$framework" ]; then exec "$framework" run; fi
done
echo 'timelab: pre-commit is not installed: ./lab setup' >&2
exit 0
"""

_SHARED = _LOCATE + _GONE
_BODIES = {
    "post-commit": _SHARED + _CHANGED + _SAVE + _WORK + _POST_COMMIT,
    "post-merge": _SHARED + _CHANGED + _SAVE + _WORK + _POST_MERGE,
    "post-rewrite": _SHARED + _WORK + _POST_REWRITE,
    "pre-commit": _GONE + _PRE_COMMIT,
}


def pathspecs() -> tuple[str, ...]:
    """Returns git's pathspecs for the files that the hooks look for."""
    wanted = tuple(f":(top,glob){pattern}" for pattern in SPEC_PATTERNS)
    unwanted = tuple(f":(exclude,top,glob)**/{folder}/**" for folder in sorted(EXCLUDED_FOLDERS))
    return (*wanted, *unwanted, ":(top,literal)timelab.toml")


def stub(hook: str, *, chained: str = '"$0.timelab-chained"', framework: bool = False) -> str:
    """Returns the text of a hook.

    Args:
        hook: one of `HOOKS`.
        chained: an sh word: the hook that was here before and still is to run, if it is executable.
        framework: for our own repository: end in a call of the pre-commit framework.
    """
    head = _HEAD.format(marker=MARKER, version=VERSION, hook=hook, chained=chained)
    body = _BODIES[hook].replace("@LIMIT@", str(_WATCH_LIMIT_CHARS))
    body = body.replace("@PATTERNS@", " \\\n    ".join(shlex.quote(spec) for spec in pathspecs()))
    if framework:
        return head.replace(f"\nchained={chained}\n", "") + body + _FRAMEWORK
    return head + body + _CHAIN


def forwarder(hook: str, *, chained: str) -> str:
    """Returns a hook that only hands over to the one that was configured before us."""
    head = _HEAD.format(marker=MARKER, version=VERSION, hook=hook, chained=chained)
    return head + _CHAIN


def stub_version(text: bytes) -> int | None:
    """Returns the version of one of our own hooks, or None when the hook is somebody else's."""
    for line in text.splitlines()[:3]:
        if line.startswith(MARKER.encode()):
            number = line[len(MARKER) :].split(b":")[0]
            return int(number) if number.isdigit() else 0
    return None
