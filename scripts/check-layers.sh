#!/usr/bin/env bash
# Checks that the crates keep to docs/architecture.md and CONTRIBUTING.md.
#
# Checked are the crate attributes, the direct dependencies against the table of docs/architecture.md,
# sizes, file names, words that must not occur, and pages that are spoken of but missing. Prints one
# line for each violation and exits 1 if there is any. Needs bash, awk, grep, find and cargo.
#
# Usage: scripts/check-layers.sh
set -u -o pipefail
export LC_ALL=C CARGO_TERM_COLOR=never
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

# Crates that the compiler itself keeps away from clocks, sockets, threads and randomness.
machines="packet nat fabric traversal broker relay"
# Crates whose code may not wait; protocol, scenario and sim are std.
waitless="$machines protocol scenario sim"
unsafe_crate=device
architecture=docs/architecture.md

findings=$(mktemp) || exit 2
trap 'rm -f "$findings"' EXIT

report() { printf '%s\n' "$*" >>"$findings"; }
is_one_of() { case " $2 " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# Prints the Rust files of the workspace and of fuzz, generated ones left out.
rust_files() {
    find crates benches fuzz netns-tests \( -name target -o -name corpus -o -name artifacts \) -prune \
        -o -type f -name '*.rs' -print | sort
}

check_attributes() {
    local folder crate root
    for folder in crates/* benches netns-tests; do
        crate=${folder##*/}
        for root in "$folder"/src/lib.rs "$folder"/src/main.rs "$folder"/src/bin/*.rs "$folder"/src/bin/*/main.rs; do
            [ -f "$root" ] || continue
            if [ "$crate" != "$unsafe_crate" ] && ! grep -qx '#!\[forbid(unsafe_code)\]' "$root"; then
                report "$root: lacks #![forbid(unsafe_code)]; only crates/$unsafe_crate may do without"
            fi
        done
        if is_one_of "$crate" "$machines" && ! grep -qx '#!\[no_std\]' "$folder/src/lib.rs"; then
            report "$folder/src/lib.rs: lacks #![no_std]; '$crate' is a machine"
        fi
    done
}

# Prints "crate: dependency dependency …" for each row of the table in docs/architecture.md.
allowed_dependencies() {
    awk -F'|' '
        /^\| *crate / { inside = 1 }
        !/^\|/ { inside = 0 }
        inside && /^\| *`[a-z_-]+` *\|/ {
            crate = $2; allowed = $(NF - 1)
            gsub(/[` ]/, "", crate); gsub(/[`,]/, " ", allowed)
            print crate ": " allowed
        }' "$architecture"
}

# Prints "crate dependency" for each direct dependency; those of this workspace as "@folder".
actual_dependencies() {
    cargo tree --workspace --edges normal,build --depth 1 --prefix depth --no-dedupe --all-features --format '{p}' |
        awk '
            /^0/ { crate = substr($1, 2); sub(/^simopen-/, "", crate) }
            /^1/ { name = substr($1, 2); sub(/^simopen-/, "@", name); print crate, name }' | sort -u
}

check_dependencies() {
    local allowed actual folder crate may name
    allowed=$(allowed_dependencies)
    if ! actual=$(actual_dependencies); then
        report "Cargo.toml: cargo tree failed, so the dependencies are not checked"
        return
    fi
    for folder in crates/*; do
        crate=${folder##*/}
        if ! may=$(printf '%s\n' "$allowed" | grep "^$crate: "); then
            report "$architecture: the crate table has no row for '$crate'"
            continue
        fi
        may=$(printf '%s' "${may#*: }" | tr -s ' \n' ' ')
        while read -r name; do
            [ -n "$name" ] || continue
            is_one_of "$name" "$may" ||
                report "$folder/Cargo.toml: depends on '$name', which the crate table of $architecture does not allow"
        done < <(printf '%s\n' "$actual" | sed -n "s/^$crate @//p")
        if is_one_of "$crate" "$machines"; then
            local count
            count=$(printf '%s\n' "$actual" | grep -c "^$crate ")
            [ "$count" -le 5 ] ||
                report "$folder/Cargo.toml: $count direct dependencies; a machine lives on at most 5"
        fi
    done
    while read -r crate; do
        [ -d "crates/$crate" ] || report "$architecture: the crate table names '$crate', which does not exist"
    done < <(printf '%s\n' "$allowed" | sed -n 's/:.*//p')
}

check_names() {
    local path
    while read -r path; do
        report "$path: a file is named for the one concept it holds, never for a drawer"
    done < <(find crates benches fuzz netns-tests scripts -name target -prune -o \
        \( -name 'util' -o -name 'utils' -o -name 'common' -o -name 'core' -o -name 'helper' -o -name 'helpers' \
        -o -name 'misc' -o -name 'types' \
        -o -name 'util.*' -o -name 'utils.*' -o -name 'common.*' -o -name 'core.*' -o -name 'helper.*' \
        -o -name 'helpers.*' -o -name 'misc.*' -o -name 'types.*' \) -print | sort)
    while read -r path; do
        report "$path: use name.rs beside name/, not mod.rs"
    done < <(rust_files | grep '/mod\.rs$')
}

# Reads Rust with comments and the insides of strings taken out, and reports sizes and words.
check_sources() {
    rust_files | tr '\n' '\0' | xargs -0 -r awk -v unsafe_crate="$unsafe_crate" -v machines="$machines" \
        -v waitless="$waitless" '
        function finding(line, text) { printf "%s:%d: %s\n", FILENAME, line, text }

        # Returns the code of one line; a string is left as its quotes, a comment as nothing.
        function code_of(line,    out, at, found, before) {
            out = (quoted || raw != "") && line ~ /[^ \t]/ ? "\"" : ""
            while (line != "") {
                if (comment_depth > 0) {
                    if (!match(line, /\/\*|\*\//)) return out
                    comment_depth += substr(line, RSTART, 1) == "/" ? 1 : -1
                    line = substr(line, RSTART + 2)
                } else if (raw != "") {
                    at = index(line, raw)
                    if (at == 0) return out
                    line = substr(line, at + length(raw))
                    raw = ""
                } else if (quoted) {
                    if (!match(line, /\\.?|"/)) return out
                    if (substr(line, RSTART, 1) == "\"") { quoted = 0; out = out "\"" }
                    line = substr(line, RSTART + RLENGTH)
                } else {
                    if (!match(line, /["\047\/]/)) return out line
                    found = substr(line, RSTART, 1)
                    before = substr(line, 1, RSTART - 1)
                    line = substr(line, RSTART)
                    out = out before
                    if (found == "/") {
                        if (line ~ /^\/\//) return out
                        if (line ~ /^\/\*/) { comment_depth = 1; line = substr(line, 3) }
                        else { out = out "/"; line = substr(line, 2) }
                    } else if (found == "\"") {
                        if (match(before, /(^|[^A-Za-z0-9_])[bc]?r#*$/)) {
                            raw = substr(before, RSTART)
                            gsub(/[^#]/, "", raw)
                            raw = "\"" raw
                        } else quoted = 1
                        out = out "\""
                        line = substr(line, 2)
                    } else if (match(line, /^\047(\\.[^\047]*|[^\\\047]|[\200-\377]+)\047/)) {
                        out = out "\047\047"
                        line = substr(line, RLENGTH + 1)
                    } else {
                        out = out "\047"
                        line = substr(line, 2)
                    }
                }
            }
            return out
        }

        # Follows braces through one line of code, so that each function is measured.
        function follow_braces(code,    rest, token, previous) {
            rest = code
            previous = ""
            while (match(rest, /[{}()\[\];]|fn[ \t]+[A-Za-z_$]/)) {
                if (RSTART > 1) previous = substr(rest, RSTART - 1, 1)
                token = substr(rest, RSTART, 1)
                if (token == "f") {
                    if (previous !~ /[A-Za-z0-9_]/) {
                        pending = substr(rest, RSTART)
                        sub(/^fn[ \t]+/, "", pending)
                        sub(/[^A-Za-z0-9_$].*/, "", pending)
                        pending_nesting = nesting
                        pending_line = FNR
                        pending_code = code_lines
                    }
                } else if (token == "(" || token == "[") nesting++
                else if (token == ")" || token == "]") nesting--
                else if (token == ";") { if (nesting == pending_nesting) pending = "" }
                else if (token == "{") {
                    depth++
                    if (pending != "" && nesting == pending_nesting) {
                        functions++
                        name[functions] = pending
                        opened_at[functions] = pending_line
                        first_code[functions] = pending_code
                        body_depth[functions] = depth
                        pending = ""
                    }
                } else {
                    if (functions > 0 && depth == body_depth[functions]) {
                        length_of = code_lines - first_code[functions] + 1
                        if (length_of > 100)
                            finding(opened_at[functions], "function " name[functions] " has " length_of " lines of code; at most 100")
                        functions--
                    }
                    depth--
                    if (in_tests && depth == 0) in_tests = 0
                }
                previous = token == "f" ? "n" : token
                rest = substr(rest, RSTART + RLENGTH)
            }
        }

        function finish_file() {
            if (file != "" && module_lines > 600)
                printf "%s: %d lines of code; a module has at most 600\n", file, module_lines
        }

        function start_file(    parts) {
            finish_file()
            file = FILENAME
            quoted = comment_depth = depth = nesting = functions = in_tests = cfg_test = 0
            raw = pending = ""
            module_lines = code_lines = 0
            split(FILENAME, parts, "/")
            crate = parts[1] == "crates" ? parts[2] : ""
            machine = crate != "" && index(" " machines " ", " " crate " ") > 0
            may_not_wait = parts[1] == "netns-tests" || parts[3] == "tests" || \
                (crate != "" && index(" " waitless " ", " " crate " ") > 0)
        }

        FNR == 1 { start_file() }

        {
            if ($0 ~ /```[A-Za-z0-9_, -]*ignore/)
                finding(FNR, "an ignored documentation example is never compiled; use no_run or text")
            if ($0 ~ /(^|[^A-Za-z0-9_])(TODO|FIXME)([^A-Za-z0-9_]|$)/)
                finding(FNR, "finish it, or leave it out")

            code = code_of($0)
            if (code !~ /[^ \t]/) next
            code_lines++

            if (code ~ /^[ \t]*(pub(\([a-z]+\))?[ \t]+)?mod[ \t]+tests[ \t]*\{/ && cfg_test && depth == 0) in_tests = 1
            else if (code ~ /^[ \t]*#\[cfg\(test\)\][ \t]*(pub[ \t]+)?mod[ \t]+tests[ \t]*\{/ && depth == 0) in_tests = 1
            if (!in_tests) module_lines++

            if (code ~ /#!?\[(ignore|cfg_attr\(.*[ ,(]ignore)/)
                finding(FNR, "an ignored test is no test; say NOT RUN and why, or remove it")
            if (code ~ /(^|[^A-Za-z0-9_])(todo|unimplemented|dbg)!/)
                finding(FNR, "finish it, or leave it out")
            if (crate != unsafe_crate && code ~ /(^|[^A-Za-z0-9_])unsafe([^A-Za-z0-9_]|$)/)
                finding(FNR, "unsafe code belongs in crates/" unsafe_crate)
            if ((may_not_wait || in_tests) && code ~ /(^|[^A-Za-z0-9_])(sleep|sleep_ms|sleep_until|usleep|nanosleep|clock_nanosleep|park_timeout)[ \t]*\(/)
                finding(FNR, "machines and tests never sleep; wait for a fact")
            if (machine && !cfg_test && !in_tests && code ~ /extern[ \t]+crate[ \t]+std([^A-Za-z0-9_]|$)/)
                finding(FNR, "a machine takes std only under #[cfg(test)]")

            cfg_test = code ~ /^[ \t]*#\[cfg\(test\)\][ \t]*$/ || (cfg_test && code ~ /^[ \t]*#\[/)
            follow_braces(code)
        }

        END { finish_file() }' >>"$findings" || report "scripts/check-layers.sh: reading the sources failed"
}

check_fences_in_pages() {
    local path
    while read -r path; do
        grep -nE '^[[:space:]]*```[A-Za-z0-9_, -]*ignore' "$path" |
            while IFS=: read -r line _; do
                report "$path:$line: an ignored documentation example is never compiled; use no_run or text"
            done
    done < <(find . \( -name target -o -name .git \) -prune -o -type f -name '*.md' -print | sed 's|^\./||' | sort)
}

# A page that the code or another page speaks of has to exist.
check_mentioned_pages() {
    local path line page
    while IFS=: read -r path line page; do
        [ -f "$page" ] || report "$path:$line: speaks of $page, which does not exist"
    done < <({ rust_files; find . \( -name target -o -name .git \) -prune -o -type f -name '*.md' -print | sed 's|^\./||'; } |
        sort | tr '\n' '\0' | xargs -0 -r grep -noE '(^|[^A-Za-z0-9_/.-])docs/[a-z0-9_-]+\.(md|svg)' /dev/null |
        sed 's|:[^:]*docs/|:docs/|')
}

check_attributes
check_dependencies
check_names
check_sources
check_fences_in_pages
check_mentioned_pages

if [ -s "$findings" ]; then
    cat "$findings"
    printf 'check-layers: %d violations\n' "$(wc -l <"$findings")"
    exit 1
fi
printf 'check-layers: %d crates and %d Rust files keep to docs/architecture.md\n' \
    "$(find crates -mindepth 1 -maxdepth 1 -type d | wc -l)" "$(rust_files | wc -l)"
