#!/usr/bin/env bash
# Runs ranks as if they were on machines of their own, with a network between them that has a given rate: each in a network namespace,
# joined by a bridge, with the rate of each direction limited by tc. It needs root, iproute2 and Open MPI.
#
#	bench/network/shaped.sh RATE RANKS COMMAND ...       as in: bench/network/shaped.sh 1gbit 2 bin/bert finetune …
#
# A token bucket limits what leaves a namespace; latency is that of the kernel, some 50 µs. The ranks share the machine's processors all
# the same: --threads says how many each computes with.
set -euo pipefail

if [ "${1:-}" = --launch ]; then # mpirun starts its daemons by this: HOST COMMAND ...
	host=$2
	shift 2
	exec ip netns exec "$host" unshare --uts bash -c "hostname $host; exec bash -c \"\$1\"" bash "$*"
fi
[ $# -ge 3 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
rate=$1 ranks=$2
shift 2

prefix=bert$$
clean() {
	for i in $(seq "$ranks"); do ip netns del "$prefix-$i" 2>/dev/null || true; done
	ip link del "$prefix" 2>/dev/null || true
	rm -f "$hosts"
}
hosts=$(mktemp)
trap clean EXIT

ip link add "$prefix" type bridge
ip link set "$prefix" up
for i in $(seq "$ranks"); do
	ns=$prefix-$i
	ip netns add "$ns"
	ip link add "$prefix.$i" type veth peer name eth0 netns "$ns"
	ip link set "$prefix.$i" master "$prefix" up
	ip -n "$ns" link set lo up
	ip -n "$ns" link set eth0 up
	ip -n "$ns" addr add "10.99.0.$i/24" dev eth0
	# What comes in has been limited where it left. Segments are as large as the kernel makes them, 64 KiB: the bucket has room for some.
	tc -n "$ns" qdisc add dev eth0 root tbf rate "$rate" burst 512kb latency 50ms
	# mpirun knows hosts by their names here, and the namespaces by the same ones.
	mkdir -p "/etc/netns/$ns"
	echo "$ns slots=1" >>"$hosts"
done
addresses=$(for i in $(seq "$ranks"); do echo "10.99.0.$i $prefix-$i"; done)
for i in $(seq "$ranks"); do printf '127.0.0.1 localhost\n%s\n' "$addresses" >"/etc/netns/$prefix-$i/hosts"; done
trap 'clean; rm -rf /etc/netns/'"$prefix"'-*' EXIT

ip netns exec "$prefix-1" unshare --uts bash -c 'hostname "$1"; shift; exec "$@"' bash "$prefix-1" \
	mpirun --allow-run-as-root --mca plm_rsh_agent "$(realpath "$0") --launch" --mca plm rsh --hostfile "$hosts" -n "$ranks" \
	--bind-to none --mca btl tcp,self --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 "$@"
