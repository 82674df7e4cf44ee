#!/usr/bin/env bash
# Makes the two models of package starter from text, and packs them into starter/model:
#
#	starter/make.sh CORPORA IMDB WORK
#
# CORPORA is a folder with wikipedia, gutenberg and openstax, each with text in train-NNN.txt.zst and heldout.txt.zst (a paragraph a
# line, a blank line between documents); IMDB is aclImdb_v1.tar.gz of Maas et al. 2011; WORK is the folder for everything on the way.
# A step whose result is in WORK is not made again, and one that was interrupted goes on where it was. BERT names the program, by
# default the one that is built here.
set -euo pipefail
if [ $# -ne 3 ]; then
	echo "usage: starter/make.sh CORPORA IMDB WORK" >&2
	exit 2
fi
corpora=$(realpath "$1") imdb=$(realpath "$2")
mkdir -p "$3"
work=$(realpath "$3")
cd "$(dirname "$0")/.."

# The recipe, all in one place.
vocabulary=(--size 12000 --limit-alphabet 160)
vocabulary_text=("$imdb" "$corpora"/wikipedia/train-00[01].txt.zst "$corpora"/gutenberg/train-000.txt.zst "$corpora"/openstax/train-000.txt.zst)
masking=(--sentences --dynamic --masked-lm-prob 0.2)
short=(--max-seq-length 128 --max-predictions-per-seq 25)
short_text=("$imdb" "$corpora"/wikipedia/train-000.txt.zst "$corpora"/gutenberg/train-000.txt.zst)
long=(--max-seq-length 512 --max-predictions-per-seq 100)
long_text=("$imdb")
held_out_text=("$corpora"/wikipedia/heldout.txt.zst "$corpora"/gutenberg/heldout.txt.zst)
# Without dropout: the model sees each text a few times at most.
config='{
  "vocab_size": 12000, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024,
  "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu",
  "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0
}'
pretraining=(--phase-steps 40000,4000 --train-batch-size 32,16 --learning-rate 1e-3 --adam-beta2 0.98
	--eval-steps 2000 --max-eval-instances 1000 --save-steps 1000 --seed 1)
# For all that follows pre-training.
dropout=0.1
sentiment=(--max-seq-length 512 --long head-tail --train-batch-size 32 --learning-rate 2e-4 --num-train-epochs 3 --save-steps 200 --seed 1)

bert=${BERT:-$work/bert}
if [ -z "${BERT:-}" ]; then
	CGO_ENABLED=0 go build -trimpath -o "$bert" ./cmd/bert
fi

# instances NAME OPTION... -- FILE... makes a set of instances.
instances() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	[ -e "$work/$name/summary.json" ] || "$bert" instances "${masking[@]}" "${options[@]}" --vocab "$work/vocab" --output "$work/$name" --resume "$@"
}

# train NAME COMMAND OPTION... trains the model NAME, from the newest checkpoint if there is one.
train() {
	local name=$1 resume=()
	shift
	[ ! -e "$work/$name/eval_results.json" ] || return 0
	if compgen -G "$work/$name/checkpoints/*" >/dev/null; then
		resume=(--resume)
	fi
	"$bert" "$@" --output "$work/$name" "${resume[@]}"
}

# round NAME writes the model NAME in bfloat16.
round() {
	rm -rf "$work/$1-bf16"
	"$bert" convert "$work/$1" "$work/$1-bf16" --to hf --dtype bf16
}

if [ ! -e "$work/vocab/vocab.txt" ]; then
	inputs=()
	for file in "${vocabulary_text[@]}"; do
		inputs+=(--input "$file")
	done
	"$bert" vocab "${vocabulary[@]}" "${inputs[@]}" --output "$work/vocab"
fi
instances short "${short[@]}" -- "${short_text[@]}"
instances long "${long[@]}" -- "${long_text[@]}"
instances held-out "${short[@]}" -- "${held_out_text[@]}"

printf '%s\n' "$config" >"$work/config.json"
train pretrained pretrain --instances "$work/short" --instances "$work/long" --eval-instances "$work/held-out" --config "$work/config.json" "${pretraining[@]}"
# Only config.json says what dropout is.
sed -i.before -E 's/("(hidden|attention_probs)_dropout_prob": )[0-9.]+/\1'"$dropout/" "$work/pretrained/config.json"
train sentiment finetune --task imdb --data "$imdb" --model "$work/pretrained" "${sentiment[@]}"

round pretrained
round sentiment
go run ./starter/pack "$work/pretrained-bf16" "$work/sentiment-bf16" starter/model

echo "Measure the classifier as it is shipped, and put the figures into starter/model/README.md:"
"$bert" evaluate --task imdb --data "$imdb" --model "$work/sentiment-bf16" --format table
"$bert" evaluate --instances "$work/held-out" --model "$work/pretrained-bf16" --format table
