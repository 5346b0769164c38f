#!/bin/sh
# SPDX-License-Identifier: MIT
# test-index.sh BRICKCTL-INDEX DOCUMENTS: what it reads, what it says, its exit status, incremental runs.
set -eu

index=$(realpath "$1")
documents=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
db=$work/index.db

fail() {
	echo "test-index.sh: $*" >&2
	cat out err >&2
	exit 1
}

# run STATUS ARGUMENT...: leaves out and err
run() {
	wanted=$1
	shift
	status=0
	"$index" "$@" >out 2>err || status=$?
	[ "$status" = "$wanted" ] || fail "status $status, not $wanted: $*"
}

said() {
	grep -qF -- "$2" "$1" || fail "$1 does not say: $2"
}

mkdir -p docs/man/de/man1 docs/deep
echo 'plain text' >docs/a.txt
echo 'packed text' | gzip >docs/deep/b.txt.gz
printf '.TH LS 1\n.SH NAME\nls \\- listet auf\n' | gzip >docs/man/de/man1/ls.1.gz
printf '<title>Page</title><p>body' >docs/page.html
printf 'a\0b' >docs/binary
head -c 20000 /dev/zero | tr '\0' x >docs/large
ln -s a.txt docs/link
ln -s ../docs docs/deep/loop
mkfifo docs/fifo

# the command line
run 64
run 64 --nonsense docs
run 64 --max-size 1GiB docs
run 64 --max-size 0 docs
run 64 --db
run 0 --help
said out 'Usage: brickctl index'
run 0 --version
run 1 --db /nonexistent/index.db docs
said err '/nonexistent/index.db: No such file or directory'

# the first run, and one that has nothing to do
run 0 --db "$db" --max-size 10KiB docs
said out '4 documents in 4 passages (files: 4 read, 0 unchanged, 0 removed, 2 skipped; 0 errors)'
said err "$work/docs/binary: skipped: binary data"
said err "$work/docs/large: skipped: larger than --max-size"
[ "$(wc -l <err)" = 2 ] || fail "it complains"
run 0 --db "$db" --max-size 10KiB docs/
said out '4 documents in 4 passages (files: 0 read, 5 unchanged, 0 removed, 1 skipped; 0 errors)'
[ "$(stat -c %a "$db")" = 644 ] || fail "mode of the index"
for suffix in wal shm; do
	[ -e "$db-$suffix" ] || fail "$db-$suffix is gone"
done

# a time that nanoseconds cannot say, where the file system can
mkdir far
echo text >far/a.txt
for time in 99999999999999 -99999999999999; do
	touch -d "@$time" far/a.txt 2>/dev/null || continue
	run 0 --db far.db far
	said out '1 documents in 1 passages'
	[ ! -s err ] || fail "it complains of the time $time"
done

# what was too large is not; a change, a new file, and one that has gone
echo 'other text, longer' >docs/a.txt
echo new >docs/new.md
rm docs/page.html
run 0 --db "$db" --no-prune docs
said out '6 documents in 15 passages (files: 3 read, 3 unchanged, 0 removed, 0 skipped; 0 errors)'
run 0 --db "$db" docs
said out '5 documents in 14 passages (files: 0 read, 6 unchanged, 1 removed, 0 skipped; 0 errors)'

# a single file, and what is not there
run 0 --db "$db" -q docs/a.txt
[ ! -s out ] || fail "it is not quiet"
run 1 --db "$db" nothing docs
said err 'nothing: No such file or directory'
run 1 --db "$db" docs/fifo
said err 'docs/fifo: neither a file nor a directory'

# damaged gzip data is an error each time, and not kept
gzip -c docs/large | head -c 30 >docs/cut.gz
for _ in 1 2; do
	run 1 --db "$db" docs
	said err "$work/docs/cut.gz: "
done
rm docs/cut.gz

# removal, also of what is no longer there
rm -r docs/deep
run 0 --db "$db" --remove docs/deep
said out '1 removed'
run 1 --db "$db" --remove docs/deep
run 0 --db "$db" --remove docs
said out '0 documents in 0 passages'

# lines of JSON
cat >faq.jsonl <<'EOF'
{"id": "q1", "title": "One", "text": "first text", "metadata": {"tag": ["a", 1, null, true]}}

{"id": 2, "text": "資料庫"}
{"id": "q3", "text": }
{"title": "no id", "text": "x"}
{"id": "q4"}
{"id": "q5", "text": "x", "metadata": [1]}
{"id": "q6", "text": "x", "text": "y"}
[1, 2]
{"id": "", "text": "x"}
{"id": "q7", "text": 5}
{"id": "q8", "text": "x", "title": {}}
{"id": "q9", "text": "x", "metadata": {"a":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}}
{"id": "q10", "text": "nul \u0000 inside"}
EOF
{
	printf '{"id": "q11", "text": "bad \377 bytes"}\n'
	printf '{"id": "long", "text": "%s"}\n' "$(head -c 9000 /dev/zero | tr '\0' y)"
	printf '{"id": "last", "text": "without a newline"}'
} >>faq.jsonl
run 1 --db "$db" --max-size 8KiB faq.jsonl
said out '3 documents in 3 passages (files: 1 read, 0 unchanged, 0 removed, 0 skipped; 13 errors)'
for line in 4 5 6 7 8 9 10 11 12 13 14 15 16; do
	grep -q "^brickctl index: $work/faq.jsonl:$line: ." err || fail "nothing about line $line"
done
said err 'faq.jsonl:5: "id" must be'
said err 'faq.jsonl:6: "text" must be a string'
said err 'faq.jsonl:16: line is longer than 8192 bytes (see --max-size)'
said err 'faq.jsonl:13: "metadata" is nested deeper than 16 levels'
run 1 --db "$db" faq.jsonl # wrong lines are not forgotten

# good ones are; and lines that have gone go from the index
sed -n '1p;3p' faq.jsonl >good && mv good faq.jsonl
run 0 --db "$db" faq.jsonl
said out '2 documents in 2 passages (files: 1 read, 0 unchanged, 0 removed, 0 skipped; 0 errors)'
run 0 --db "$db" faq.jsonl
said out '(files: 0 read, 1 unchanged,'
gzip faq.jsonl
run 0 --db "$db" faq.jsonl.gz
said out '2 documents in 2 passages'

# what Windows puts before the first line
printf '\357\273\277{"id": "q1", "text": "x"}\n' >mark.jsonl
run 0 --db "$db" mark.jsonl
printf '\377\376{\0}\0' >wide.jsonl
run 1 --db "$db" wide.jsonl
said err 'wide.jsonl: is UTF-16'

# the data of version control systems, files of other formats, guesses; quietly if told so
mkdir -p formats/.git/hooks
echo text >formats/.git/hooks/sample
echo 'gitdir: elsewhere' >formats/.hg
printf '{\\rtf1 text}' >formats/a.rtf
printf '\270\352\256\306\256w' >formats/big5.txt
printf '%%PDF-1.4\nendobj\n' >formats/a.pdf
run 0 --db formats.db formats
said err "$work/formats/.git: skipped: "
said err "$work/formats/a.rtf: skipped: RTF"
said err "$work/formats/a.pdf: skipped: PDF"
said err "$work/formats/big5.txt: read as BIG5-HKSCS, a guess"
said out '1 documents in 1 passages (files: 1 read, 0 unchanged, 0 removed, 3 skipped; 0 errors)'
run 0 --db formats.db -q formats
[ ! -s err ] || fail "it is not quiet"

# PDF needs a program; without it the file is tried again
cp "$documents/page.pdf" formats/
PATH=$work run 0 --db formats.db formats
said err "$work/formats/page.pdf: skipped: PDF, for which pdftotext (poppler-utils) is not installed"
mkdir bin
printf '#!/bin/sh\nexec yes\n' >bin/pdftotext # it would print for ever
chmod +x bin/pdftotext
PATH=$work/bin:$PATH run 0 --db formats.db --max-size 64KiB formats
said err "$work/formats/page.pdf: skipped: PDF with more text than --max-size"
if command -v pdftotext >/dev/null; then
	run 0 --db formats.db formats
	said out '2 documents in 2 passages (files: 1 read, '
fi

# several at once wait for each other
mkdir many
for i in $(seq 100); do echo "document $i" >"many/$i"; done
pids=
for i in 1 2 3; do
	"$index" --db many.db many >"out.$i" 2>"err.$i" &
	pids="$pids $!"
done
for pid in $pids; do
	wait "$pid" || fail "one of several at once: $(cat err.*)"
done
cat out.* >out
said out '100 documents in 100 passages (files: 100 read, 0 unchanged, '
said out '100 documents in 100 passages (files: 0 read, 100 unchanged, '
# who may find what
cat >count.py <<'EOF'
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute("SELECT key, groups FROM document JOIN audience ON audience = audience.id")
print(*sorted(f"{key.split('/')[-1]}={groups}" for key, groups in rows))
EOF
# groups EXPECTED: of all documents
groups() {
	actual=$(python3 count.py "$db")
	[ "$actual" = "$1" ] || fail "groups: $actual, not $1"
}
rm -f "$db"*
mkdir -p acl/in/deep acl/out
for name in acl/top.txt acl/in/a.txt acl/in/b.txt acl/in/deep/c.txt acl/out/d.txt; do
	echo text >$name
done
echo 'staff  board # who is paid' >acl/in/.groups
echo 'x.y@z' >acl/in/b.txt.groups
run 0 --db "$db" acl
groups 'a.txt=board staff b.txt=x.y@z c.txt=board staff d.txt= top.txt='
run 0 --db "$db" acl
said out '5 unchanged'
echo '*' >acl/in/deep/.groups # everybody, below others that are not
echo 'staff' >acl/in/.groups
run 0 --db "$db" acl
groups 'a.txt=staff b.txt=x.y@z c.txt= d.txt= top.txt='
for wrong in '' '-x' 'a * b' 'a/b' "$(head -c 64 /dev/zero | tr '\0' a)"; do
	echo "$wrong" >acl/in/b.txt.groups
	run 1 --db "$db" acl/in/b.txt
	said err 'b.txt.groups: '
	said err 'files that it is for are left out'
	groups 'a.txt=staff c.txt= d.txt= top.txt='
done
mkdir acl/out/.groups # not a file
run 1 --db "$db" acl
groups 'a.txt=staff c.txt= top.txt='
rmdir acl/out/.groups
rm acl/in/b.txt.groups acl/in/deep/.groups
cat >acl/out/lines.jsonl <<'EOF'
{"id": "l1", "text": "x"}
{"id": "l2", "text": "x", "groups": "one"}
{"id": "l3", "text": "x", "groups": ["two", "one", "two"]}
{"id": "l4", "text": "x", "groups": ["*"]}
{"id": "l5", "text": "x", "groups": []}
{"id": "l6", "text": "x", "groups": [1]}
{"id": "l7", "text": "x", "groups": "a b"}
EOF
echo out >acl/out/.groups
run 1 --db "$db" acl
for line in 5 6 7; do
	said err "lines.jsonl:$line: \"groups\": "
done
groups 'a.txt=staff b.txt=staff c.txt=staff d.txt=out l1=out l2=one l3=one two l4= top.txt='

# permissions say it, where nothing else does
group=$(id -gn)
rm -r acl/out acl/in/.groups
chmod 755 . acl acl/in
chmod 640 acl/in/a.txt
chmod 600 acl/in/b.txt
chmod 750 acl/in/deep
run 1 --db "$db" --file-groups acl
said err 'b.txt: left out, as no single group may read it'
groups "a.txt=$group c.txt=$group top.txt="

# what is no index stays what it is
echo 'not a database, though long enough to look like one to whoever reads the header' >text
run 1 --db text docs
said err 'text: not an index; nothing was changed'
grep -q '^not a database' text || fail "it overwrote a file"
