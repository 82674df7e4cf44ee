#!/usr/bin/env bash
# Makes two models for package starter from text alone, of 2 layers of width 256, and packs them into starter/model in place of those that are there,
# which starter/next.sh made out of a larger model. The first also has the head of next sentences, which TestModels would have to be told.
#
#	starter/make.sh CORPORA IMDB WORK
#
# CORPORA is a folder with wikipedia, gutenberg and openstax, each with text in train-NNN.txt.zst and heldout.txt.zst (one paragraph
# per line, a blank line between documents). IMDB is aclImdb_v1.tar.gz of Maas et al. 2011. WORK is the folder for intermediate
# results: a step whose result is there is skipped, and an interrupted step continues. BERT names the program; by default it is
# built from these sources.
set -euo pipefail
if [ $# -ne 3 ]; then
	echo "usage: starter/make.sh CORPORA IMDB WORK" >&2
	exit 2
fi
corpora=$(realpath "$1") imdb=$(realpath "$2")
mkdir -p "$3"
work=$(realpath "$3")
cd "$(dirname "$0")/.."

# The recipe.
vocabulary=(--size 12000 --limit-alphabet 160)
vocabulary_text=("$imdb" "$corpora"/wikipedia/train-00[01].txt.zst "$corpora"/gutenberg/train-000.txt.zst "$corpora"/openstax/train-000.txt.zst)
text=("$imdb" "$corpora"/wikipedia/train-000.txt.zst "$corpora"/gutenberg/train-000.txt.zst)
held_out_text=("$corpora"/gutenberg/heldout.txt.zst "$corpora"/openstax/heldout.txt.zst "$corpora"/wikipedia/heldout.txt.zst)
masking=(--sentences --dynamic --masked-lm-prob 0.3)
short=(--no-nsp --max-seq-length 32 --max-predictions-per-seq 10)
pairs=(--max-seq-length 128 --max-predictions-per-seq 39)
long=(--max-seq-length 512 --max-predictions-per-seq 154)
reviews=(--sentences --dynamic --masked-lm-prob 0.25 --max-seq-length 128 --max-predictions-per-seq 32)
held_out=(--sentences --dupe-factor 1)
# No dropout, since the model sees each text at most once. Initial weights with a deviation of 0.05 let attention start sooner.
config='{
  "vocab_size": 12000, "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 1024,
  "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu", "initializer_range": 0.05,
  "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0
}'
evaluation=(--eval-steps 1000 --max-eval-instances 1000 --save-steps 200)
# Short sequences first, without next-sentence prediction: they are too short for pairs.
masked=(--phase-steps 3000,5000,500 --train-batch-size 96,32,10 --learning-rate 1.5e-3 --adam-beta2 0.98 --warmup-proportion 0.03 --seed 1)
# Then pairs of segments of reviews; the pooler and the next-sentence head are new here.
both=(--allow-missing --num-train-steps 2900 --train-batch-size 32 --learning-rate 1e-3 --adam-beta2 0.98 --warmup-proportion 0.05 --seed 2)
# For fine-tuning, here and by users.
dropout=0.1
sentiment=(--long windows --doc-stride 126 --train-batch-size 32 --learning-rate 2e-4 --num-train-epochs 1 --save-steps 200)

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
	[ -e "$work/$name/summary.json" ] || "$bert" instances "${options[@]}" --vocab "$work/vocab" --output "$work/$name" --resume "$@"
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

# round NAME converts the model NAME to bfloat16.
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
instances short "${masking[@]}" "${short[@]}" -- "${text[@]}"
instances pairs "${masking[@]}" "${pairs[@]}" -- "${text[@]}"
instances long "${masking[@]}" "${long[@]}" -- "${text[@]}"
instances reviews "${reviews[@]}" -- "$imdb"
instances held-out "${held_out[@]}" -- "${held_out_text[@]}"

printf '%s\n' "$config" >"$work/config.json"
train masked pretrain --instances "$work/short" --instances "$work/pairs" --instances "$work/long" --eval-instances "$work/held-out" \
	--config "$work/config.json" "${masked[@]}" "${evaluation[@]}"
train pretrained pretrain --instances "$work/reviews" --eval-instances "$work/held-out" --init "$work/masked" "${both[@]}" "${evaluation[@]}"
# Dropout is set in config.json only.
sed -i.before -E 's/("(hidden|attention_probs)_dropout_prob": )[0-9.]+/\1'"$dropout/" "$work/pretrained/config.json"
train sentiment finetune --task imdb --data "$imdb" --model "$work/pretrained" "${sentiment[@]}"

round pretrained
round sentiment
go run ./starter/pack "$work/pretrained-bf16" "$work/sentiment-bf16" starter/model

echo "Figures of the models as shipped, for starter/model/README.md:"
"$bert" evaluate --task imdb --data "$imdb" --model "$work/sentiment-bf16" --format table
"$bert" evaluate --instances "$work/held-out" --model "$work/pretrained-bf16" --format table
