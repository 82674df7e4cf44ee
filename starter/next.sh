#!/usr/bin/env bash
# The next starter models: a wider network in the bytes of today's, by storing its matrices as integers, which begins as a student of
# all-MiniLM-L6-v2 (Apache-2.0), and whose encoder makes vectors of sentences. It has not been run; today's models come from make.sh.
#
#	starter/next.sh CORPORA IMDB MINILM WORK
#
# CORPORA and IMDB are those of make.sh. MINILM is the folder of all-MiniLM-L6-v2 (bert pull sentence-transformers/all-MiniLM-L6-v2). WORK is the
# folder for intermediate results: a step whose result is there is skipped, and an interrupted training continues. BERT names the program.
# SIZE, VOCABULARY, BITS and GROUP choose a row of the table below. STOP ends after a step: texts, teacher, pretrained, sentiment.
#
# Two things are open. The student's vectors of sentences pass a dense layer to the teacher's width, which is in folders beside the model (modules.json): the
# archives hold no folders yet, so what is shipped would be the mean of the hidden states, and row vectors of the table is to be measured of both. And next
# sentences are not learnt: the model has the head of masked words alone, which package starter's tests and card have to say.
#
# What fits into the 13,490,168 bytes that both archives take today. An encoder of L layers of width H with a vocabulary of V has, with 512 positions, the
# pooler and the heads, V*H + 512*H + L*(12*H*H + 13*H) + 2*H*H parameters. Stored as integers, with Zstandard over them, today's starter takes 7.42 bits a
# parameter at 8 bits with a scale for a row, 5.85 at 6 bits and 4.89 at 5 bits with one for 64 numbers, 4.17 at 4 bits with one for 32; and its tokenizer 0.12 MB. Both
# archives, computed:
#
#	L x H     V        parameters   8 bits    6 bits    5 bits    4 bits
#	2 x 256   12,000    4.9 M        9.4 MB    7.4 MB    6.2 MB    5.4 MB
#	4 x 256   12,000    6.5 M       12.3 MB    9.7 MB    8.2 MB    7.0 MB
#	4 x 256   16,000    7.5 M       14.2 MB   11.2 MB    9.4 MB    8.1 MB
#	4 x 320   12,000    9.1 M       17.2 MB   13.6 MB   11.4 MB    9.8 MB
#	4 x 384   10,000   11.4 M       21.4 MB   17.0 MB   14.2 MB   12.2 MB
#	6 x 256   12,000    8.1 M       15.2 MB   12.0 MB   10.1 MB    8.7 MB
#	6 x 320   12,000   11.6 M       21.8 MB   17.2 MB   14.4 MB   12.3 MB
#	6 x 384   10,000   15.0 M       28.0 MB   22.1 MB   18.6 MB   15.9 MB
#
# docs/light.md has what such storage costs in accuracy: nothing that could be seen at 8 bits, 3.5 points at 4 bits with groups of 64. So the default is 4 x 256 with
# 12,000 tokens at 8 bits; 6 x 256 at 6 bits and 4 x 320 at 5 bits are what to try next.
#
# Time, in multiply-adds: a token of 4 x 256 takes 4.1 million forward, with the logits of masked words, and 3 times that with the way back; one of the teacher's
# 10.6 million. make.sh's 35.4 million tokens of 2 x 256 took 2.7e14 and, on two Zen 3 cores, 86 minutes. Here three passes over some 25 million tokens take
# 1.2e15, the teacher's once: about 6.5 hours on such a machine, and less with AMX's bfloat16 (PRECISION=bf16). The trainings on the labelled reviews add about 2
# hours, most of them MiniLM's. bert bench train gives a machine's own rate.
set -euo pipefail
if [ $# -ne 4 ]; then
	echo "usage: starter/next.sh CORPORA IMDB MINILM WORK" >&2
	exit 2
fi
corpora=$(realpath "$1") imdb=$(realpath "$2") minilm=$(realpath "$3")
mkdir -p "$4"
work=$(realpath "$4")
cd "$(dirname "$0")/.."

size=${SIZE:-4x256} vocabulary=${VOCABULARY:-12000} bits=${BITS:-8} group=${GROUP:-0}
precision=(--precision "${PRECISION:-float32}")
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
	[ ! -e "$work/$name/eval_results.json" ] || return 0
	if compgen -G "$work/$name/checkpoints/*" >/dev/null; then
		resume=(--resume)
	fi
	"$bert" "$@" "${precision[@]}" --output "$work/$name" "${resume[@]}"
}

# Sentences to learn from: paragraphs of the corpora and of the reviews, none much longer than is read of it.
text=("$corpora"/wikipedia/train-000.txt.zst "$corpora"/gutenberg/train-000.txt.zst "$corpora"/openstax/train-000.txt.zst)
if [ ! -e "$work/sentences.txt" ]; then
	{
		for file in "${text[@]}"; do zstd -dc "$file"; done
		tar -xzf "$imdb" --wildcards --to-command='cat; echo' 'aclImdb/train/pos/*.txt' 'aclImdb/train/neg/*.txt' 'aclImdb/train/unsup/*.txt' |
			sed 's/<br \/>/\n/g'
	} | grep -v '^[[:space:]]*$' | cut -c1-600 | shuf --random-source=<(yes) >"$work/sentences.tmp"
	mv "$work/sentences.tmp" "$work/sentences.txt"
fi
made texts

# The vocabulary is the teacher's, as far as the texts use it most: so that both cut words alike, and the student's embeddings can begin with the
# teacher's. All single characters stay, so that no text is unknown.
[ -e "$work/teacher" ] || "$bert" prune "$minilm" "$work/teacher" --vocab-from "$work/sentences.txt" --vocab-size "$vocabulary"
made teacher

# Masked words, as in pre-training, and at the same time what the teacher says: vectors of sentences, and the relations of its last layer.
train pretrained distill --teacher "$work/teacher" --student "$size" --student-embeddings teacher --text "$work/sentences.txt" \
	--validation-share 0.002 --label-weight 1 --masked-lm-prob 0.25 --sentence-weight 1 --sentence-cosine-weight 1 --relation-weight 0.1 --max-seq-length 128 --train-batch-size 64 \
	--learning-rate 1e-3 --num-train-epochs 3 --save-steps 200 --seed 1 --cache "$work/cache" --cache-size 20GB
made pretrained

# The reviews, with the labels and with a teacher: MiniLM fine-tuned on the same reviews.
train teacher-sentiment finetune --task imdb --data "$imdb" --model "$work/teacher" --long windows --doc-stride 126 --train-batch-size 32 --learning-rate 5e-5 \
	--num-train-epochs 2 --save-steps 200
train sentiment distill --task imdb --data "$imdb" --teacher "$work/teacher-sentiment" --student "$work/pretrained" --logit-weight 0.5 --label-weight 0.5 \
	--long windows --doc-stride 126 --train-batch-size 32 --learning-rate 2e-4 --num-train-epochs 2 --save-steps 200 --cache "$work/cache" --cache-size 20GB
made sentiment

for model in pretrained sentiment; do
	rm -rf "$work/$model-bf16"
	"$bert" convert "$work/$model" "$work/$model-bf16" --to hf --dtype bf16
done
mkdir -p "$work/model"
go run ./starter/pack -bits "$bits" -group "$group" -unpack "$work/unpacked" "$work/pretrained-bf16" "$work/sentiment-bf16" "$work/model"
echo "Figures of the models as they come out of the archives, with which to decide whether $work/model takes the place of starter/model:"
go run ./starter/measure -data "${DATA:-$(dirname "$corpora")}" -work "$work/measured" "$work/unpacked/pretrained" "$work/unpacked/sentiment"
