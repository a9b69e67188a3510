#!/bin/sh
# Makes each policy of the core wrong by one, as tests/mutations.txt says, and looks whether the test named there fails.
# Usage: tests/mutations.sh [WORD]    only the lines with WORD. Needs perl; works on a copy.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src"
cp "$root/Cargo.lock" "$work/"
cat > "$work/Cargo.toml" <<'TOML'
[workspace]
[package]
name = "mutant"
version = "0.0.0"
edition = "2024"
[dependencies]
foldhash = { version = "0.2", default-features = false }
hashbrown = { version = "0.17", default-features = false, features = ["serde"] }
serde = { version = "1", default-features = false, features = ["derive", "alloc"] }
[dev-dependencies]
proptest = { version = "1", default-features = false, features = ["std"] }
serde_json = "1"
postcard = { version = "1.1.3", default-features = false, features = ["use-std"] }
TOML
printf 'extern crate alloc;\npub mod gateway;\n' > "$work/src/lib.rs"
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/mutations
export CARGO_TARGET_DIR RUST_BACKTRACE=0
survived=0
grep -v '^#' "$root/tests/mutations.txt" | grep -e "${1:-}" > "$work/list"
while IFS= read -r line; do
    rm -rf "$work/src/gateway"
    cp -R "$root/src/gateway" "$work/src/gateway"
    if ! LINE=$line WORK=$work perl -0777 -e '
        my ($policy, $file, $from, $to, $test) = split / \| /, $ENV{LINE};
        for ($from, $to) { s/\\n/\n/g; s/\\\|/|/g; }
        my $path = "$ENV{WORK}/src/gateway/$file";
        open my $in, "<", $path or die "$path: $!"; my $text = <$in>; close $in;
        my $at = index $text, $from; die "$policy: $file does not say `$from`\n" if $at < 0;
        substr $text, $at, length $from, $to;
        open my $out, ">", $path or die; print $out $text; close $out;'
    then
        survived=$((survived + 1))
        continue
    fi
    policy=${line%% | *}
    test=${line##* | }
    if output=$(cd "$work" && cargo test --quiet --offline --lib "$test" 2>&1 </dev/null); then
        echo "SURVIVED  $policy ($test)"
        survived=$((survived + 1))
    elif printf '%s' "$output" | grep -q "::$test' .*panicked\|::$test$\|::$test .*FAILED"; then
        echo "caught    $policy: $test"
    else
        printf '%s\n' "$output" | tail -20
        echo "BROKEN    $policy"
        survived=$((survived + 1))
    fi
done < "$work/list"
[ "$survived" -eq 0 ]
