package hub

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTrainer: of the output folder of a Trainer, the newest whole checkpoint is taken, by its number.
func TestTrainer(t *testing.T) {
	header := `{"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}`
	safetensors := string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + "12345678"
	zip := "PK\x03\x04 records PK\x05\x06" + strings.Repeat("\x00", 18)
	model := func(name string) map[string]string {
		return map[string]string{name + "/config.json": "{}", name + "/model.safetensors": safetensors, name + "/optimizer.pt": "x"}
	}
	with := func(all ...map[string]string) map[string]string {
		out := map[string]string{"runs/events": "x"}
		for _, some := range all {
			for name, text := range some {
				out[name] = text
			}
		}
		return out
	}
	older := with(model("checkpoint-500"), model("checkpoint-1000"), model("checkpoint-90"))
	for name, c := range map[string]struct {
		files   map[string]string
		want    string
		damaged []string
		fails   string
	}{
		"by number":          {older, "checkpoint-1000", nil, ""},
		"other folders":      {with(older, map[string]string{"checkpoint-x/config.json": "{}", "checkpoint-5000": "a file", "tmp-checkpoint-2000/config.json": "{}"}), "checkpoint-1000", nil, ""},
		"a model at the top": {with(older, map[string]string{"config.json": "{}", "model.safetensors": safetensors}), "", nil, ""},
		"weights at the top": {with(older, map[string]string{"model.safetensors": safetensors}), "", nil, ""},
		"an adapter":         {with(older, map[string]string{"checkpoint-1500/adapter_config.json": "{}", "checkpoint-1500/adapter_model.safetensors": safetensors}), "checkpoint-1500", nil, ""},
		"PyTorch":            {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/pytorch_model.bin": zip}), "checkpoint-1500", nil, ""},
		"older PyTorch":      {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/pytorch_model.bin": "\x80\x02"}), "checkpoint-1500", nil, ""},
		"no weights":         {with(older, map[string]string{"checkpoint-1500/config.json": "{}"}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"no configuration":   {with(older, map[string]string{"checkpoint-1500/model.safetensors": safetensors}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"half a config":      {with(older, map[string]string{"checkpoint-1500/config.json": "{", "checkpoint-1500/model.safetensors": safetensors}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"cut weights":        {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/model.safetensors": safetensors[:len(safetensors)-1], "checkpoint-1600/config.json": "{}"}), "checkpoint-1000", []string{"checkpoint-1600", "checkpoint-1500"}, ""},
		"empty weights":      {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/model.safetensors": ""}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"a cut header":       {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/model.safetensors": safetensors[:40]}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"a cut archive":      {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/pytorch_model.bin": zip[:len(zip)-1]}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"shards":             {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/model.safetensors.index.json": `{"weight_map": {"a": "one.safetensors"}}`, "checkpoint-1500/one.safetensors": safetensors}), "checkpoint-1500", nil, ""},
		"a shard is missing": {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/model.safetensors.index.json": `{"weight_map": {"a": "one.safetensors"}}`}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"a shard elsewhere":  {with(older, map[string]string{"checkpoint-1500/config.json": "{}", "checkpoint-1500/model.safetensors.index.json": `{"weight_map": {"a": "../checkpoint-90/model.safetensors"}}`}), "checkpoint-1000", []string{"checkpoint-1500"}, ""},
		"none is whole":      {with(map[string]string{"checkpoint-5/config.json": "{}", "checkpoint-40/config.json": "{}"}), "", nil, "no checkpoint in this folder is whole; of the newest: "},
		"none":               {with(), "", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			l, err := Resolve(t.Context(), dir, ResolveOptions{})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) || !strings.Contains(err.Error(), "checkpoint-40: no file of weights") {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil || l.Checkpoint != c.want || l.Path != filepath.Join(dir, c.want) || !slices.Equal(l.Damaged, c.damaged) || l.Shared {
				t.Errorf("%+v, %v; want %s, not %v", l, err, c.want, c.damaged)
			}
		})
	}
}

// FuzzLastByte compares the end of a header's tensors with what a map of all of them says.
func FuzzLastByte(f *testing.F) {
	for _, s := range []string{
		`{"a": {"data_offsets": [0, 8]}, "b": {"data_offsets": [8, 9]}, "__metadata__": {"x": "y"}}`, `{}`, `[]`, `{"a": {}`, `{"a": 1}`, `{"a": {"data_offsets": [1]}}`, "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		end, err := lastByte(strings.NewReader(header))
		var all map[string]struct {
			Offsets []int64 `json:"data_offsets"`
		}
		if json.Unmarshal([]byte(header), &all) != nil || all == nil {
			return
		}
		want := int64(0)
		for _, tensor := range all {
			if len(tensor.Offsets) == 2 {
				want = max(want, tensor.Offsets[1])
			}
		}
		if err != nil || end < want { // of two tensors of a name, the map has the last
			t.Errorf("%q ends at %d, want %d: %v", header, end, want, err)
		}
	})
}
