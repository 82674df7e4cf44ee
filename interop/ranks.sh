#!/usr/bin/env bash
# Holds runs of several processes to those of one, under the launchers that are here: Open MPI's mpirun, MPICH's, and srun with pmix
# where Slurm runs.
#
#	interop/ranks.sh [WORK]
#
# Fine-tuning and pre-training on 1, 2 and 4 ranks have to end with the bits of one process. Then each rank of four is killed once
# (kill -9): the launcher has to end with an error, and the run, resumed on another number of ranks, with the same bits. WORK is a folder
# for the runs, a new one by default. BERT names the program; by default it is built from these sources. LAUNCHERS, from openmpi, mpich
# and srun, says which are tried. The exit status is 1 if anything was wrong.
set -uo pipefail
work=$(realpath "${1:-$(mktemp -d)}")
mkdir -p "$work"
cd "$(dirname "$0")/.."
bert=${BERT:-$work/bert}
[ -n "${BERT:-}" ] || CGO_ENABLED=0 go build -o "$bert" ./cmd/bert || exit 1
cd "$work" || exit 1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
wrong=0

# Some thousand sentences of few words, the same each time, and labels for some of them.
awk 'BEGIN {
	n = split("the a film joy story actor music scene plot camera ending director dull bad good bright slow funny sad clever was is seemed felt", w, " ")
	for (i = 0; i < 3000; i++) {
		line = ""
		for (j = 0; j < 5 + i % 9; j++) { x = (x * 1103515245 + 12345) % 2147483648; line = line (j ? " " : "") w[1 + int(x / 65536) % n] }
		print line "."
		if (i % 10 == 9) print ""
	}
}' >text.txt
{
	printf 'text\tlabel\n'
	grep . text.txt | head -96 | awk '{ print $0 "\t" (NR % 3 ? "fun" : "dull") }'
} >train.tsv
[ -e vocabulary/vocab.txt ] || "$bert" vocab --size 100 --quiet --output vocabulary text.txt >/dev/null || exit 1
[ -e instances/summary.json ] || "$bert" instances --quiet --vocab vocabulary --max-seq-length 32 --max-predictions-per-seq 5 --dupe-factor 1 --output instances text.txt >/dev/null || exit 1
cat >config.json <<'C'
{"vocab_size": 100, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512, "max_position_embeddings": 64}
C
size=$(grep -c . vocabulary/vocab.txt)
sed -i "s/100/$size/" config.json

declare -A commands=(
	[finetune]="finetune --task text --data train.tsv --eval-data train.tsv --eval-steps 6 --model starter --max-seq-length 32 --max-steps 12 --train-batch-size 8"
	[pretrain]="pretrain --instances instances --config config.json --num-train-steps 12 --train-batch-size 8 --learning-rate 1e-3"
)
options=(--threads 1 --parts 4 --save-steps 3 --quiet)

# launch LAUNCHER RANKS ARGUMENT... runs bert on ranks.
launch() {
	local launcher=$1 ranks=$2
	shift 2
	case $launcher in
	openmpi) mpirun.openmpi --oversubscribe -n "$ranks" "$bert" "$@" ;;
	mpich) mpirun.mpich -n "$ranks" "$bert" "$@" ;;
	srun) srun --mpi=pmix --overcommit -n "$ranks" "$bert" "$@" ;;
	esac
}

# check WHAT COMMAND... runs a command and says how it ended.
exec 3>&1
check() {
	local what=$1
	shift
	if "$@"; then
		echo "ok     $what" >&3
	else
		echo "WRONG  $what" >&3
		wrong=1
	fi
}

# rank N FOLDER prints the process of rank N of the run that writes FOLDER.
rank() {
	local p
	for p in $(pgrep -f -- "--output $2( |\$)"); do
		[ "$(readlink "/proc/$p/exe")" = "$bert" ] || continue
		tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qE "^(OMPI_COMM_WORLD_RANK|PMI_RANK|SLURM_PROCID)=$1\$" && echo "$p"
	done
}

# killed LAUNCHER FOLDER RANK COMMAND... begins a run on 4 ranks and kills one once there is a checkpoint. It succeeds if the launcher fails.
killed() {
	local launcher=$1 folder=$2 victim=$3 job
	shift 3
	launch "$launcher" 4 "$@" --output "$folder" --ranks mpi >"$folder.log" 2>&1 &
	job=$!
	until compgen -G "$folder/checkpoints/step-*" >/dev/null || ! kill -0 $job 2>/dev/null; do sleep 0.02; done
	rank "$victim" "$folder" | xargs -r kill -9
	! wait $job
}

for launcher in ${LAUNCHERS:-openmpi mpich srun}; do
	case $launcher in
	srun) command -v srun >/dev/null && timeout 20 srun --mpi=pmix -n 1 true 2>/dev/null ;;
	*) command -v "mpirun.$launcher" >/dev/null ;;
	esac || {
		echo "left out: $launcher isn't here"
		continue
	}
	for kind in finetune pretrain; do
		read -ra command <<<"${commands[$kind]}"
		command+=("${options[@]}")
		[ -e "$kind-alone/model.safetensors" ] || "$bert" "${command[@]}" --output "$kind-alone" >/dev/null 2>"$kind-alone.log" || { cat "$kind-alone.log" && exit 1; }
		for ranks in 1 2 4; do
			folder=$kind-$launcher-$ranks
			rm -rf "$folder"
			check "$kind under $launcher on $ranks ranks" launch "$launcher" "$ranks" "${command[@]}" --output "$folder" --ranks mpi >/dev/null 2>"$folder.log"
			check "$kind under $launcher on $ranks ranks: the bits of one process" cmp -s "$kind-alone/model.safetensors" "$folder/model.safetensors"
		done
		for victim in 0 1 2 3; do
			folder=$kind-$launcher-kill$victim
			rm -rf "$folder"
			check "$kind under $launcher, rank $victim of 4 killed: an error" killed "$launcher" "$folder" "$victim" "${command[@]}"
			ranks=$((victim % 2 + 1))
			launch "$launcher" $ranks "${command[@]}" --output "$folder" --ranks mpi --resume >/dev/null 2>>"$folder.log"
			check "$kind under $launcher, rank $victim of 4 killed: resumed on $ranks, the bits of one process" cmp -s "$kind-alone/model.safetensors" "$folder/model.safetensors"
		done
	done
done
exit $wrong
