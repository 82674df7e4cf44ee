#!/usr/bin/env bash
# Lets unmodified clients of other servers ask bert serve, and compares its answers with transformers and sentence-transformers on the same
# weights, and with the library (bert encode, bert predict): docs/serving.md says which.
#
#   interop/serve/run.sh --model DIR [--bert PROGRAM] [--prepare]
#
# DIR is a sentence-transformers folder of a BERT, such as all-MiniLM-L6-v2. --prepare makes the environments and no more. It needs Go (unless
# --bert names a program), curl, Python 3.10 or later, Node.js 20 or later with npm, and their registries: some 6 GB in $BERT_INTEROP_VENV, by
# default bert-interop in the user's cache, which are kept. The exit status is 3 where they can't be had, 1 where an answer is wrong.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
	sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$here/run.sh" >&2
	exit 2
}

model='' bert='' prepare=0
while [ $# -gt 0 ]; do
	case "$1" in
	--model) model=$(realpath "$2") && shift ;;
	--bert) bert=$(realpath "$2") && shift ;;
	--prepare) prepare=1 ;;
	*) usage ;;
	esac
	shift
done
[ -n "$model" ] || [ "$prepare" = 1 ] || usage

export PYTHONDONTWRITEBYTECODE=1 TRANSFORMERS_VERBOSITY=error HF_HUB_DISABLE_PROGRESS_BARS=1 DO_NOT_TRACK=1
venvs=$(python3 "$here/../venvs.py" torch serve) || exit 3
torch=$(sed -n 1p <<<"$venvs")
clients=$(sed -n 2p <<<"$venvs")
packages=$(dirname "$(dirname "$(dirname "$clients")")")/npm
if ! cmp -s "$here/package.json" "$packages/package.json"; then
	mkdir -p "$packages"
	cp "$here/package.json" "$packages/package.json.new"
	(cd "$packages" && cp package.json.new package.json && npm install --silent --no-audit --no-fund --no-package-lock) || {
		rm -f "$packages/package.json"
		echo "interop/serve: the packages of npm can't be had" >&2
		exit 3
	}
fi
[ "$prepare" = 0 ] || exit 0

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
if [ -z "$bert" ]; then
	bert=$work/bert
	(cd "$here/../.." && CGO_ENABLED=0 go build -o "$bert" ./cmd/bert)
fi

# The models, and what transformers says of them. The clients are not offline: Hugging Face's then ask no server at all.
HF_HUB_OFFLINE=1 "$torch" "$here/reference.py" "$model" "$work/models" >"$work/expected.json"

# The first one is what a request without a model's name gets.
"$bert" serve --port 0 --model "vectors=$model" --model "classes=$work/models/classes" --model "ner=$work/models/ner" --model "qa=$work/models/qa" \
	--model "mlm=$work/models/mlm" --model "nli=$work/models/nli" --model "rerank=$work/models/rerank" 2>"$work/log" &
server=$!
for _ in $(seq 600); do
	grep -q ': ready: ' "$work/log" && break
	kill -0 "$server" 2>/dev/null || break
	sleep 0.2
done
url=$(sed -n 's/.*listening on //p' "$work/log")
grep -q ': ready: ' "$work/log" || {
	cat "$work/log" >&2
	exit 1
}

status=0
cp "$here/clients.mjs" "$packages/clients.mjs" # which finds its packages beside it
node "$packages/clients.mjs" "$url" "$work/expected.json" >"$work/node.json" || status=1
"$clients" "$here/clients.py" --url "$url" --expected "$work/expected.json" --node "$work/node.json" --bert "$bert" --models "$work/models" --vectors "$model" || status=1
[ "$status" = 0 ] || tail -n 20 "$work/log" >&2
exit "$status"
