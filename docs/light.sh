#!/usr/bin/env bash
# Makes a small, fast classifier of a large one, and prints after each step what it costs: accuracy, bytes of weights, texts a second.
#
#	docs/light.sh DATA WORK
#
# DATA is the folder of the task's data, by default that of GLUE's SST-2. WORK is the folder for the models: a step whose result is there is
# skipped, and an interrupted training continues. Variables change the rest:
#
#	MODEL    the model to begin with, a folder or a name on the hub (sentence-transformers/all-MiniLM-L6-v2)
#	TASK     a task that bert finetune knows (sst2)
#	MORE     texts without labels, one a line, from which the student learns too; DATA/train.tsv has to be a table of a sentence and a label then (none)
#	TEXTS    texts whose tokens the small model keeps, one a line (the first column of DATA/train.tsv without its first line, and MORE)
#	STUDENT  the size of the small model: layers x width (2x128)
#	EPOCHS   passes over the data that the student makes (6); the fine-tuning makes 2, the last distillation half as many
#	LIMIT    train on so many examples, for a trial; 0: all (0)
#	BERT     the program; by default it is built from these sources
set -euo pipefail
if [ $# -ne 2 ]; then
	echo "usage: docs/light.sh DATA WORK" >&2
	exit 2
fi
data=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
cd "$(dirname "$0")/.."

model=${MODEL:-sentence-transformers/all-MiniLM-L6-v2}
task=${TASK:-sst2}
student=${STUDENT:-2x128}
more=${MORE:-}
epochs=${EPOCHS:-6}
limit=()
[ "${LIMIT:-0}" -eq 0 ] || limit=(--max-train-examples "$LIMIT")

bert=${BERT:-$work/bert}
if [ -z "${BERT:-}" ]; then
	CGO_ENABLED=0 go build -trimpath -o "$bert" ./cmd/bert
fi
texts=${TEXTS:-$work/texts.txt}
[ -n "${TEXTS:-}" ] || [ -e "$texts" ] || tail -n +2 "$data/train.tsv" | cut -f1 | cat - ${more:+"$more"} >"$texts"
[ -e "$work/calibration.txt" ] || head -n 400 "$texts" >"$work/calibration.txt"
# What the student learns from. The labels of the rows added are not read.
said=(--data "$data")
if [ -n "$more" ]; then
	[ -e "$work/more" ] || {
		mkdir -p "$work/more.tmp"
		{ cat "$data/train.tsv" && tr '\t' ' ' <"$more" | awk 'NF { print $0 "\t0" }'; } >"$work/more.tmp/train.tsv"
		mv "$work/more.tmp" "$work/more"
	}
	said=(--data "$work/more" --unlabelled --eval-data "$data")
fi
[ -d "$model" ] || "$bert" pull "$model"

# once NAME COMMAND... makes the folder NAME, unless it is there.
once() {
	local name=$1
	shift
	[ -e "$work/$name" ] || "$bert" "$@"
}

# train NAME COMMAND... trains the model NAME, from the newest checkpoint if there is one.
train() {
	local name=$1 resume=()
	shift
	[ ! -e "$work/$name/eval_results.json" ] || return 0
	if compgen -G "$work/$name/checkpoints/*" >/dev/null; then
		resume=(--resume)
	fi
	"$bert" "$@" --task "$task" --output "$work/$name" "${limit[@]}" "${resume[@]}"
}

# teach NAME EPOCHS OPTION... lets a student learn what the teacher says.
teach() {
	train "$1" distill --teacher "$work/teacher" "${said[@]}" --logit-weight 1 --temperature 3 --num-train-epochs "$2" --train-batch-size 64 --group-by-length \
		--eval-steps 1000 --metric-for-best-model main --cache "$work/cache" "${@:3}"
}

# number KEY is the first number under a key of the JSON on stdin.
number() { sed -n 's/.*"'"$1"'":\([0-9.]*\).*/\1/p' | head -n 1; }

# row NAME WHAT adds a line to the table.
row() {
	local name=$1 what=$2 result metric bytes speed
	if [ ! -e "$work/$name.row" ]; then
		result=$("$bert" evaluate --task "$task" --data "$data" --model "$work/$name" --output "$work/$name-results" --json --quiet)
		metric=$(number "$(sed -n 's/.*"official_metrics":\["\([^"]*\)".*/\1/p' <<<"$result")" <<<"$result")
		bytes=$(cat "$work/$name"/model*.safetensors | wc -c)
		speed=$("$bert" bench infer --model "$work/$name" --batch-sizes 32 --seq-lengths 64 --json --quiet | number sequences_per_second)
		printf '| %s | %s | %s | %s |\n' "$what" "$metric" "$bytes" "$speed" >"$work/$name.row"
	fi
	cat "$work/$name.row"
}

{
	train teacher finetune --model "$model" --data "$data" --learning-rate 5e-5 --num-train-epochs 2 --metric-for-best-model main
	teach student "$epochs" --student "$student" --student-embeddings teacher --learning-rate 1e-3
	# Without a quarter of the heads and of the neurons, those that matter least; then taught once more.
	once cut prune "$work/student" "$work/cut" --heads 25% --neurons 25% --task "$task" --data "$data"
	teach pruned "$((epochs / 2))" --student "$work/cut" --learning-rate 3e-4
	# Without the tokens that the texts don't use; the answers to these stay the same bits.
	once words prune "$work/pruned" "$work/words" --vocab-from "$texts"
	once int8 quantize "$work/words" "$work/int8" --calibrate "$work/calibration.txt"
} >&2

echo '| step | metric | bytes of weights | texts of 64 tokens a second |'
echo '|---|---|---|---|'
row teacher "fine-tuned: $(basename "$model")"
row student "distilled: $student"
row cut 'a quarter of the heads and neurons taken out'
row pruned 'distilled once more'
row words 'the vocabulary of the texts'
row int8 'int8, calibrated'
