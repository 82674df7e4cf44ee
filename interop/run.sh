#!/usr/bin/env bash
# Tries bert beside the tools that BERTs come from and go to: docs/interop.md says what is compared.
#
#   interop/run.sh [--quick] [--prepare] [--model DIR]
#
# --quick takes what one environment and a small random model can show. --prepare makes the environments and no more. --model takes
# an encoder too, such as the folder of all-MiniLM-L6-v2. It needs Python 3.10 or later, Go, and a registry of Python packages: the environments take some 8 GB in
# $BERT_INTEROP_VENV, by default bert-interop in the user's cache, and are kept. The exit status is 3 where they can't be had.
set -euo pipefail
cd "$(dirname "$0")"

quick=0
prepare=0
models=()
while [ $# -gt 0 ]; do
	case "$1" in
	--quick) quick=1 ;;
	--prepare) prepare=1 ;;
	--model) models+=(--model "$(realpath "$2")") && shift ;;
	*)
		sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' run.sh >&2
		exit 2
		;;
	esac
	shift
done

python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || {
	echo "interop: no Python 3.10 or later with venv" >&2
	exit 3
}
export PYTHONDONTWRITEBYTECODE=1
tools=() # all
steps=100
if [ "$quick" = 1 ]; then
	tools=(--quick --tools "transformers 5,ONNX Runtime")
	steps=20
fi
if [ "$prepare" = 1 ]; then
	python3 matrix.py "${tools[@]}" --prepare
	exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -o "$work/bert" ../cmd/bert
python3 matrix.py --bert "$work/bert" "${tools[@]}" "${models[@]}"
echo
python3 parity.py --bert "$work/bert" --steps "$steps"
if [ ${#models[@]} -gt 0 ]; then
	echo
	python3 parity.py --bert "$work/bert" --steps "$steps" "${models[@]}"
fi
