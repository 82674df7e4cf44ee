#!/usr/bin/env bash
# Makes the two models of package starter out of a large one, and packs them into starter/model:
#
#	starter/next.sh CORPORA IMDB GLUE MINILM WORK
#
# The encoder is all-MiniLM-L6-v2 (Apache-2.0) with 16,000 of its tokens, which learns masked words and next sentences, a part of what SST-2 teaches,
# and to say what the model said before. starter/make.sh makes models from text alone.
#
# CORPORA and IMDB are those of make.sh. GLUE has the folders SST-2 and STS-B. MINILM is the folder of all-MiniLM-L6-v2 (bert pull
# sentence-transformers/all-MiniLM-L6-v2). WORK is the folder for intermediate results: a step whose result is there is skipped, and an interrupted
# training continues. BERT names the program, by default it is built from these sources; PRECISION is float32, or bf16 (the default) for processors with
# AMX or AVX512-BF16; THREADS is how many to use (all). STOP ends after a step: texts, teacher, student, pretrained, labelled, sentiment.
set -euo pipefail
if [ $# -ne 5 ]; then
	echo "usage: starter/next.sh CORPORA IMDB GLUE MINILM WORK" >&2
	exit 2
fi
corpora=$(realpath "$1") imdb=$(realpath "$2") glue=$(realpath "$3") minilm=$(realpath "$4")
mkdir -p "$5"
work=$(realpath "$5")
cd "$(dirname "$0")/.."

# The recipe.
vocabulary=16000
layers=0,1,2,3,4,5
# Pairs of segments, of which it learns masked words and next sentences: those train [CLS] and the pooler, of which the teacher makes no use.
pairs=(--sentences --dynamic --masked-lm-prob 0.2 --max-seq-length 128 --max-predictions-per-seq 26 --short-seq-prob 0.25)
learn=(--label-weight 1 --sentence-cosine-weight 10 --hidden-weight 1 --layer-map 0:0,1:1,2:2,3:3,4:4,5:5
	--train-batch-size 32 --warmup-proportion 0.05 --group-by-length --validation-share 0.002)
student=(--learning-rate 3e-4 --max-train-examples 88000 --num-train-epochs 1 --save-steps 250 --seed 1)
# Half of what SST-2 teaches is added to it, and what that does to its vectors is mended: those of pairs, and then those of sentences, which pairs teach less.
sst2=(--task sst2 --train-batch-size 64 --learning-rate 1e-4 --num-train-epochs 2 --group-by-length --save-steps 500)
share=0.5
mend=(--learning-rate 5e-5 --max-steps 400 --save-steps 200 --seed 2)
short=(--max-seq-length 96 --masked-lm-prob 0.2 --label-weight 1 --sentence-cosine-weight 20 --train-batch-size 64 --learning-rate 1e-4
	--warmup-proportion 0.05 --max-steps 600 --group-by-length --validation-share 0.005 --save-steps 200 --seed 3)
# The classifier learns twice: from all that has a label, and then from the sentences about which it agrees with their review.
classify=(--task text --labels neg,pos --long windows --doc-stride 126 --token-budget 2048 --num-train-epochs 1 --group-by-length --save-steps 400)
labelled=(--learning-rate 8e-5 --seed 1)
agreed=(--learning-rate 4e-5 --seed 5)
base=(-bits 4 -group 32)
difference=(-difference-bits 2 -difference-group 64)

compute=(--precision "${PRECISION:-bf16}" --threads "${THREADS:-0}")
bert=${BERT:-$work/bert}
if [ -z "${BERT:-}" ]; then
	CGO_ENABLED=0 go build -trimpath -o "$bert" ./cmd/bert
fi

# made STEP ends the run after a step.
made() {
	if [ "${STOP:-}" = "$1" ]; then
		echo "stopped after $1" >&2
		exit 0
	fi
}

# train NAME COMMAND OPTION... trains the model NAME, from the newest checkpoint if there is one.
train() {
	local name=$1 resume=()
	shift
	[ ! -e "$work/$name/model.safetensors" ] || return 0
	if compgen -G "$work/$name/checkpoints/*" >/dev/null; then
		resume=(--resume)
	fi
	"$bert" "$@" "${compute[@]}" --output "$work/$name" "${resume[@]}"
}

# distill NAME OPTION... trains the model NAME to say what the teacher says.
distill() {
	local name=$1
	shift
	train "$name" distill --teacher "$work/teacher" --teacher-precision "${PRECISION:-bf16}" "$@"
}

# round NAME converts the model NAME to bfloat16.
round() {
	rm -rf "$work/$1-bf16"
	"$bert" convert "$work/$1" "$work/$1-bf16" --to hf --dtype bf16
}

# shuffled N SEED prints N lines of stdin, or with 0 all, in an order that is always the same.
shuffled() { shuf --random-source=<(yes "$2") | awk -v n="$1" '!n || NR <= n'; }

# reviews FOLDER prints the training reviews of a folder, one a line.
reviews() {
	find "$work/imdb/aclImdb/train/$1" -name '*.txt' | LC_ALL=C sort | xargs awk 1 | sed 's/<br \/>/ /g' | tr '\t' ' '
}

# sentences prints the sentences of stdin, one a line.
sentences() { sed -E 's/([.!?]"?) +/\1\n/g'; }

# What follows prints a table of labels and texts: header its first line; pieces LABEL three of seven pieces of the reviews with a label, of about a window of
# 128 tokens; brief LABEL their short sentences, with the label of the review; phrases SPLIT CONDITION those of a split of SST-2 of which it holds.
header() { printf 'label\ttext\n'; }
pieces() { fold -s -w 560 "$work/$1.txt" | awk 'NR % 7 < 3 && length >= 40' | sed "s/^/$1\t/"; }
brief() { sentences <"$work/$1.txt" | awk 'length >= 12 && length <= 120' | sed "s/^/$1\t/"; }
phrases() { tail -n +2 "$glue/SST-2/$1.tsv" | awk -F'\t' "$2"' { print ($2 == "1" ? "pos" : "neg") "\t" $1 }'; }

if [ ! -e "$work/labelled.tsv" ]; then
	mkdir -p "$work/imdb"
	tar -xzf "$imdb" -C "$work/imdb" --wildcards 'aclImdb/train/*/*.txt'
	for folder in pos neg unsup; do reviews $folder >"$work/$folder.txt"; done
	{
		for file in wikipedia gutenberg openstax; do zstd -dc "$corpora/$file/train-000.txt.zst"; done
		cat "$work"/{pos,neg,unsup}.txt
	} | grep -v '^[[:space:]]*$' >"$work/all.txt"
	# What decides which tokens are kept: a quarter of the lines, as shares matter alone.
	{
		cat "$work/all.txt"
		tail -n +2 "$glue/SST-2/train.tsv" | cut -f1
		tail -n +2 "$glue/STS-B/train.tsv" | cut -f8,9 | tr '\t' '\n'
	} | awk 'NR % 4 == 0' >"$work/vocabulary.txt"
	# What the student learns from at last: sentences, and pieces of paragraphs.
	{
		shuffled 40000 y <"$work/all.txt" | sentences | awk 'length >= 20 && length <= 250' | shuffled 50000 y
		shuffled 12000 1 <"$work/all.txt" | fold -s -w 320 | awk 'length >= 160' | shuffled 18000 y
	} | shuffled 0 y >"$work/sentences.txt"
	# What the classifier learns from.
	{ header && brief pos && brief neg; } >"$work/brief.tsv"
	{ header && pieces pos && brief pos && pieces neg && brief neg && phrases train 1; } >"$work/labelled.tmp"
	{ header && phrases dev 1; } >"$work/sst2-dev.tsv"
	mv "$work/labelled.tmp" "$work/labelled.tsv"
fi
made texts

# The vocabulary is the teacher's, as far as the texts use it most: so that both cut words alike.
[ -e "$work/teacher" ] || "$bert" prune "$minilm" "$work/teacher" --vocab-from "$work/vocabulary.txt" --vocab-size $vocabulary --drop-characters
made teacher

[ -e "$work/instances/summary.json" ] || "$bert" instances "${pairs[@]}" --vocab "$work/teacher" --output "$work/instances" --resume \
	"$imdb" "$corpora"/{wikipedia,gutenberg,openstax}/train-000.txt.zst
distill student --student-layers $layers --instances "$work/instances" "${learn[@]}" "${student[@]}"
round student
made student

train sst2 finetune --data "$glue/SST-2" --model "$work/student-bf16" "${sst2[@]}"
[ -e "$work/mixed" ] || go run ./starter/mix -share $share "$work/student-bf16" "$work/sst2" "$work/mixed"
distill mended --student "$work/mixed" --instances "$work/instances" "${learn[@]}" "${mend[@]}"
distill short --student "$work/mended" --text "$work/sentences.txt" "${short[@]}"
# What learnt no pairs has no pooler and no head for them: those are taken from before.
round mended
[ -e "$work/pretrained" ] || go run ./starter/mix -share 1 "$work/mended-bf16" "$work/short" "$work/pretrained"
round pretrained
cp "$work/teacher/sentence_bert_config.json" "$work/pretrained-bf16" # vectors of 256 tokens, as before: it saw shorter ones here to save time
mkdir -p "$work/model"
# The classifier begins with what comes out of the archive, so that its archive holds a small difference alone.
go run ./starter/pack "${base[@]}" -unpack "$work/unpacked" "$work/pretrained-bf16" "$work/model"
made pretrained

train labelled finetune --data "$work/labelled.tsv" --eval-data "$work/sst2-dev.tsv" --model "$work/unpacked/pretrained" "${classify[@]}" "${labelled[@]}"
made labelled
# A sentence of a favourable review may be a complaint, or say nothing, so that the classifier never gets sure of any. It goes on with those of which it says what
# their review says, and is neither undecided nor sure (self-training: Yarowsky 1995, doi:10.3115/981658.981684).
if [ ! -e "$work/agreed.tsv" ]; then
	"$bert" predict --model "$work/labelled" --task text --data "$work/brief.tsv" "${compute[@]}" --json --quiet >"$work/answers.jsonl"
	{
		header
		for label in pos neg; do
			tail -n +2 "$work/brief.tsv" | paste - "$work/answers.jsonl" | awk -F'\t' -v label=$label '
				$1 == label { match($3, "\"" label "\":[0-9.e-]+"); p = substr($3, RSTART + length(label) + 3) + 0; if (p > 0.55 && p < 0.97) print $1 "\t" $2 }' | shuffled 35000 y
			pieces $label | shuffled 2000 y
		done
		phrases train 'NR % 2'
	} >"$work/agreed.tmp"
	mv "$work/agreed.tmp" "$work/agreed.tsv"
fi
train sentiment finetune --data "$work/agreed.tsv" --eval-data "$work/sst2-dev.tsv" --model "$work/labelled" "${classify[@]}" "${agreed[@]}"
round sentiment
made sentiment
go run ./starter/pack "${base[@]}" "${difference[@]}" -unpack "$work/unpacked" "$work/pretrained-bf16" "$work/sentiment-bf16" starter/model

echo "Figures of the models as shipped, for starter/model/README.md:"
go run ./starter/measure -data "${DATA:-$(dirname "$corpora")}" -work "$work/measured" -precision "${PRECISION:-bf16}" -threads "${THREADS:-0}" "$work/unpacked/pretrained" "$work/unpacked/sentiment"
