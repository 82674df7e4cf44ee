package pretrain

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// smallShard is the bytes of a file of a few instances.
func smallShard(t testing.TB, change func(*InstanceOptions)) []byte {
	t.Helper()
	o := testOptions()
	o.MaxSeqLength, o.MaxPredictions, o.DupeFactor = 16, 3, 1
	change(&o)
	dir := t.TempDir()
	run(t, testJob(t, "the film was good .\nnever again .\n\nbad acting .\n", dir, o))
	data, err := os.ReadFile(filepath.Join(dir, fileName(0, o.Format)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// seal gives a damaged file a valid checksum.
func seal(data []byte) []byte {
	data = slices.Clone(data)
	if n := len(data) - 4; n >= 0 {
		binary.LittleEndian.PutUint32(data[n:], crc32.Checksum(data[:n], castagnoli))
	}
	return data
}

// TestShardDamage checks that any changed byte, and any truncation of a file, causes an error.
func TestShardDamage(t *testing.T) {
	for _, dynamic := range []bool{false, true} {
		data := smallShard(t, func(o *InstanceOptions) { o.Dynamic = dynamic })
		if s, err := parseShard(data); err != nil || s.describe().instances == 0 {
			t.Fatal(err)
		}
		for n := range data {
			if _, err := parseShard(data[:n]); err == nil {
				t.Fatalf("cut to %d of %d bytes: no error", n, len(data))
			}
		}
		if _, err := parseShard(append(slices.Clone(data), 0)); err == nil {
			t.Error("a byte more: no error")
		}
		for i := range data {
			bad := slices.Clone(data)
			bad[i] ^= 0x10
			if _, err := parseShard(bad); err == nil {
				t.Fatalf("byte %d is damaged: no error", i)
			}
		}
		// With a valid checksum, damage is either detected or harmless.
		for i := range data {
			for _, flip := range []byte{1, 0x80, 0xff} {
				bad := slices.Clone(data)
				bad[i] ^= flip
				readAll(t, seal(bad))
			}
		}
	}
}

// readAll reads the instances of a file, if it is valid, and checks that a model can use each of them.
func readAll(t *testing.T, data []byte) {
	s, err := parseShard(data)
	if err != nil {
		return
	}
	var in Instance
	for i := range s.describe().instances {
		if err := s.instance(i, &in); err != nil {
			t.Fatalf("instance %d of a file that was checked: %v", i, err)
		}
		checkInstance(t, i, &in, s.length(i), s.describe())
	}
}

func checkInstance(t *testing.T, i int, in *Instance, length int, info fileInfo) {
	n := len(in.IDs)
	if n == 0 || n != length || n > info.maxSeqLength || len(in.TypeIDs) != n || len(in.Positions) != len(in.MaskedIDs) ||
		len(in.Positions) > info.maxPredictions || !slices.IsSorted(in.Positions) || !slices.IsSorted(in.TypeIDs) {
		t.Fatalf("instance %d: %+v", i, in)
	}
	for _, id := range slices.Concat(in.IDs, in.MaskedIDs) {
		if id < 0 || id > info.highestID {
			t.Fatalf("instance %d: id %d", i, id)
		}
	}
	for _, p := range in.Positions {
		if p <= 0 || int(p) >= n {
			t.Fatalf("instance %d: position %d of %d", i, p, n)
		}
	}
}

// TestShardSize checks that a token takes two bytes, plus a few for each instance and masked token.
func TestShardSize(t *testing.T) {
	dir := t.TempDir()
	o := testOptions()
	o.Dynamic, o.MaxSeqLength, o.GroupBytes = true, 128, 1<<20
	r := run(t, testJob(t, testText(300), dir, o))
	info, err := os.Stat(filepath.Join(dir, fileName(0, Own)))
	if err != nil {
		t.Fatal(err)
	}
	if most := 2*r.Summary.Tokens + 7*r.Summary.Instances + headerSize + 64; info.Size() > most {
		t.Errorf("%d bytes for %d tokens in %d instances, want at most %d", info.Size(), r.Summary.Tokens, r.Summary.Instances, most)
	}
}

func FuzzShard(f *testing.F) {
	f.Add(smallShard(f, func(*InstanceOptions) {}))
	f.Add(smallShard(f, func(o *InstanceOptions) { o.Dynamic = true }))
	f.Add(smallShard(f, func(o *InstanceOptions) { o.NextSentence = false }))
	f.Add([]byte(shardMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		readAll(t, data)
		readAll(t, seal(data))
	})
}

func FuzzTFRecord(f *testing.F) {
	file := smallShard(f, func(o *InstanceOptions) { o.Format = TFRecord })
	f.Add(file, true)
	f.Add(file[12:len(file)/2], false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, framed bool) {
		if !framed {
			data = frame(data)
		}
		s, err := parseTFRecords(data)
		if err != nil {
			return
		}
		var in Instance
		for i := range s.describe().instances {
			if err := s.instance(i, &in); err != nil {
				t.Fatalf("instance %d of a file that was checked: %v", i, err)
			}
			checkInstance(t, i, &in, s.length(i), s.describe())
		}
	})
}

// TestTFRecordDamage checks that any changed byte, and any truncation except between records, causes an error.
func TestTFRecordDamage(t *testing.T) {
	data := smallShard(t, func(o *InstanceOptions) { o.Format = TFRecord })
	whole, err := parseTFRecords(data)
	if err != nil {
		t.Fatal(err)
	}
	ends := []int{0}
	for _, r := range whole.records {
		ends = append(ends, int(r.at)+int(r.size))
	}
	for n := range data {
		if _, err := parseTFRecords(data[:n]); (err == nil) != slices.Contains(ends, n) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(data), err)
		}
		bad := bytes.Clone(data)
		bad[n] ^= 2
		if _, err := parseTFRecords(bad); err == nil {
			t.Fatalf("byte %d is damaged: no error", n)
		}
	}
}
