package bert

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/testbound"
)

const minimalConfig = `{"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16`

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`{
		"architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": 31, "hidden_size": 12,
		"num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "hidden_act": "gelu_new",
		"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.4,
		"max_position_embeddings": 64, "type_vocab_size": 5, "initializer_range": 0.03, "layer_norm_eps": 1e-05,
		"pad_token_id": 7, "problem_type": "multi_label_classification", "id2label": {"1": "b", "0": "a"},
		"label2id": {"a": 0, "b": 1}, "torch_dtype": "float32", "use_cache": true, "layer_norm_esp": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	dropout := 0.4
	want := Config{
		Architectures: []string{"BertForSequenceClassification"}, VocabSize: 31, HiddenSize: 12, NumHiddenLayers: 3,
		NumAttentionHeads: 4, IntermediateSize: 48, HiddenAct: "gelu_new", HiddenDropoutProb: 0.2,
		AttentionProbsDropoutProb: 0.3, ClassifierDropout: &dropout, MaxPositionEmbeddings: 64, TypeVocabSize: 5,
		InitializerRange: 0.03, LayerNormEps: 1e-5, PadTokenID: 7, ProblemType: MultiLabelClassification,
		Labels: []string{"a", "b"},
		Extra: map[string]json.RawMessage{
			"torch_dtype": json.RawMessage(`"float32"`), "use_cache": json.RawMessage("true"), "layer_norm_esp": json.RawMessage("1"),
		},
		Unknown: []string{"layer_norm_esp"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, want) {
		t.Errorf("written and read back: %+v\nwant %+v", back, want)
	}
}

func TestParseConfigDefaults(t *testing.T) {
	c, err := ParseConfig([]byte(minimalConfig + `, "classifier_dropout": null, "num_labels": 3}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.LayerNormEps != 1e-12 || c.HiddenAct != "gelu" || c.ClassifierDropout != nil || c.classifierDropout() != 0.1 || len(c.Labels) != 3 {
		t.Errorf("got %+v", c)
	}
}

func TestParseConfigErrors(t *testing.T) {
	for _, test := range []struct{ name, json, want string }{
		{"no JSON", `vocab_size = 3`, "not JSON"},
		{"cut short", minimalConfig, "not JSON"},
		{"a list", `[]`, "not a JSON object"},
		{"more behind", minimalConfig + `} {}`, "something follows"},
		{"twice", minimalConfig + `, "hidden_size": 8}`, `key "hidden_size" twice`},
		{"missing", `{"vocab_size": 30}`, `no key "hidden_size"`},
		{"null", `{"vocab_size": null}`, `no key "vocab_size"`},
		{"type", minimalConfig + `, "layer_norm_eps": "small"}`, `layer_norm_eps is "small", want a number`},
		{"fraction", `{"vocab_size": 1.5}`, "vocab_size is 1.5, want a whole number"},
		{"heads", strings.Replace(minimalConfig, `"num_attention_heads": 2`, `"num_attention_heads": 3`, 1) + `}`, "hidden_size 8 is no multiple of num_attention_heads 3"},
		{"zero", strings.Replace(minimalConfig, "30", "0", 1) + `}`, "vocab_size is 0, want at least 1"},
		{"huge", strings.Replace(minimalConfig, "30", "1000000000000", 1) + `}`, "want at most"},
		{"layers", strings.Replace(minimalConfig, `"num_hidden_layers": 1`, `"num_hidden_layers": 100000`, 1) + `}`, "num_hidden_layers is 100000, want at most 256"},
		{"width", strings.Replace(minimalConfig, `"hidden_size": 8`, `"hidden_size": 16777216`, 1) + `}`, "hidden_size is 16777216, want at most 16384"},
		{"parameters", `{"vocab_size": 1000000, "hidden_size": 16384, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 1}`, "million parameters, want at most 8000 million"},
		{"labels", minimalConfig + `, "num_labels": 1000000000}`, "num_labels is 1000000000, want 1 to 65536"},
		{"no labels", minimalConfig + `, "num_labels": 0}`, "num_labels is 0, want 1 to 65536"},
		{"many labels", minimalConfig + `, "id2label": {` + strings.Repeat(`"0": "a", `, 200_000) + `"0": "a"}}`, "id2label has 200001 labels, want at most 65536"},
		{"many keys", minimalConfig + repeated(2000, `, "k%d": 0`) + `}`, "more than 1000 keys"},
		{"unknown keys", minimalConfig + repeated(101, `, "k%d": 0`) + `}`, `101 keys that no BERT configuration has, such as "k0"`},
		{"a long key", minimalConfig + `, "` + strings.Repeat("k", 1_000_000) + `": 0}`, "a key of 1000000 bytes"},
		{"a long number", minimalConfig + `, "pad_token_id": ` + strings.Repeat("9", 1_000_000) + `}`, "pad_token_id is 9999999999999999999999999999999999999999…, want a whole number of at most 4096 bytes"},
		{"activation", minimalConfig + `, "hidden_act": "quick"}`, `hidden_act is "quick", want one of gelu,`},
		{"dropout", minimalConfig + `, "hidden_dropout_prob": 1.5}`, "hidden_dropout_prob is 1.5, want a share"},
		{"eps", minimalConfig + `, "layer_norm_eps": 0}`, "layer_norm_eps is 0"},
		{"positions", minimalConfig + `, "position_embedding_type": "relative_key"}`, `position_embedding_type is "relative_key", only "absolute"`},
		{"decoder", minimalConfig + `, "is_decoder": true}`, "is_decoder is true, only false"},
		{"another model", minimalConfig + `, "model_type": "roberta"}`, "a model of type roberta: only BERT"},
		{"problem", minimalConfig + `, "problem_type": "ranking"}`, `problem_type is "ranking"`},
		{"label ids", minimalConfig + `, "id2label": {"x": "a", "2": "b"}}`, `id2label has the key "x", want an id from 0 on`},
		{"labels of another kind", minimalConfig + `, "id2label": 3}`, "id2label is 3, want an object"},
		{"another model by its class", `{"architectures": ["DistilBertModel"], "dim": 8}`, "a model of type DistilBertModel"},
		{"tied", minimalConfig + `, "tie_word_embeddings": 3}`, "tie_word_embeddings is 3, want true or false"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseConfig([]byte(test.json))
			if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 500 {
				t.Errorf("error is %.500v, want a short one with %q", err, test.want)
			}
		})
	}
}

// repeated is format with each of the numbers below n.
func repeated(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A configuration that is no regular file is refused at once.
func TestLoadConfigOfDevices(t *testing.T) {
	var kind *files.KindError
	for _, path := range []string{os.DevNull, "/dev/zero", testbound.Pipe(t, t.TempDir(), "config.json")} {
		if _, err := LoadConfig(path); !errors.As(err, &kind) {
			t.Errorf("%s: %v", path, err)
		}
	}
	link := t.TempDir()
	if err := os.Symlink("/dev/zero", filepath.Join(link, "config.json")); err != nil {
		t.Skip(err)
	}
	if _, err := LoadConfig(link); !errors.As(err, &kind) {
		t.Errorf("a link to a device: %v", err)
	}
	var size *files.SizeError
	large := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(large, make([]byte, maxConfigFile+1), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(large); !errors.As(err, &size) {
		t.Errorf("a large file: %v", err)
	}
}

// A file of weights that lacks most of what its configuration says is refused before memory is allocated.
func TestLoadImplausible(t *testing.T) {
	dir := t.TempDir()
	c, err := ParseConfig([]byte(minimalConfig + `}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(c, Options{Head: NoHead})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	larger := regexp.MustCompile(`"num_hidden_layers":\s*\d+`).ReplaceAll(text, []byte(`"num_hidden_layers": 200`))
	larger = regexp.MustCompile(`"intermediate_size":\s*\d+`).ReplaceAll(larger, []byte(`"intermediate_size": 60000`))
	if err := os.WriteFile(path, larger, 0o666); err != nil {
		t.Fatal(err)
	}
	// Without the layer whose shapes differ.
	f, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	tensors := slices.DeleteFunc(f.Tensors(), func(t checkpoint.Tensor) bool { return strings.Contains(t.Name, "layer.") })
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, "model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), dir, Options{AllowMissing: true}); err == nil || !strings.Contains(err.Error(), "the configuration is that of another model") {
		t.Errorf("error %v", err)
	}
}

func TestLoadConfigNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadConfig(dir); err == nil || !strings.Contains(err.Error(), dir+": no config.json") {
		t.Errorf("error is %v", err)
	}
	if _, err := LoadConfig(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error is %v", err)
	}
	path := filepath.Join(dir, "bert_config.json")
	if err := os.WriteFile(path, []byte(`{}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(dir); err == nil || !strings.Contains(err.Error(), path+": no key") {
		t.Errorf("error is %v", err)
	}
}

// FuzzParseConfig looks for input that panics, is accepted though invalid, or is not written back as it was read.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(minimalConfig + `}`))
	f.Add([]byte(minimalConfig + `, "id2label": {"0": "a", "1": "b"}, "use_cache": [1, {"a": null}], "classifier_dropout": 0.5}`))
	f.Add([]byte(`{"vocab_size": 1e3}`))
	for _, h := range hostileConfigs {
		f.Add([]byte(h.content(300)))
	}
	for _, q := range []*Quantization{{Inputs: []string{"Linear"}, WeightsOnly: []string{"Embedding", `re:.*\.query$`}, Ignore: []string{"a"}}, {}} {
		text, err := json.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(minimalConfig + `, "quantization_config": ` + string(text) + `}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		c, err := ParseConfig(data)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseConfig(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		again, err := json.Marshal(back)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(written) {
			t.Fatalf("written as\n%s\nthen as\n%s", written, again)
		}
	})
}

// What a configuration contradicts or leaves open is settled as transformers does, and noted.
func TestParseConfigLabels(t *testing.T) {
	for _, test := range []struct {
		name, json string
		want       []string
		notes      string // a part of them
	}{
		{"numbers", `"id2label": {"0": 0, "1": 1}, "label2id": {"0": 0, "1": 1}`, []string{"0", "1"}, ""},
		{"ids as text", `"id2label": {"0": "a", "1": "b"}, "label2id": {"a": "0", "b": "1"}`, []string{"a", "b"}, ""},
		{"a list", `"id2label": ["a", "b", "c"]`, []string{"a", "b", "c"}, ""},
		{"booleans", `"id2label": {"0": true, "1": false}`, []string{"true", "false"}, ""},
		{"gaps", `"id2label": {"1": "bad", "2": "good"}`, []string{"LABEL_0", "bad"}, "id2label has no name for 0: it is called LABEL_0; id2label names 2 as \"good\", but there are only the ids 0 to 1"},
		{"twice", `"id2label": {"0": "a", "1": "a"}`, []string{"a", "LABEL_1"}, `id2label names "a" twice, for 0 and 1: the latter is called LABEL_1`},
		{"empty", `"id2label": {"0": "", "1": "a"}`, []string{"LABEL_0", "a"}, "id2label has an empty name for 0"},
		{"null", `"id2label": {"0": null, "1": "a"}`, []string{"LABEL_0", "a"}, "id2label has an empty name for 0"},
		{"the name of a class without one", `"id2label": {"0": "LABEL_1", "1": ""}`, []string{"LABEL_1", "LABEL_1_"}, "empty name"},
		{"contradiction", `"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"bad": 0, "good": 1}`, []string{"LABEL_0", "LABEL_1"}, `label2id has "bad" as 0, which id2label does not: id2label decides`},
		{"swapped", `"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}`, []string{"a", "b"}, "id2label decides"},
		{"label2id alone", `"label2id": {"bad": 0, "good": 1}`, []string{"bad", "good"}, ""},
		{"another number", `"id2label": {"0": "a", "1": "b"}, "num_labels": 3`, []string{"a", "b"}, "num_labels is 3, but id2label has 2 labels: id2label decides"},
		{"a number as text", `"num_labels": "3"`, []string{"LABEL_0", "LABEL_1", "LABEL_2"}, ""},
		{"nothing", `"id2label": null, "label2id": null`, []string{"LABEL_0", "LABEL_1"}, ""},
		{"several numbers", `"problem_type": "regression", "id2label": {"0": "x", "1": "y"}`, []string{"x", "y"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseConfig([]byte(minimalConfig + ", " + test.json + "}"))
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(c.notes, "; "); !slices.Equal(c.Labels, test.want) || !strings.Contains(notes, test.notes) || (notes == "") != (test.notes == "") {
				t.Errorf("labels %q, notes %q; want %q, %q", c.Labels, notes, test.want, test.notes)
			}
		})
	}
}

// Numbers and booleans may be text, and whole numbers have a fraction of zero.
func TestParseConfigText(t *testing.T) {
	text := strings.NewReplacer(`"hidden_size": 8`, `"hidden_size": "8"`, `"num_hidden_layers": 1`, `"num_hidden_layers": 1.0`).Replace(minimalConfig)
	c, err := ParseConfig([]byte(text + `, "layer_norm_eps": "1e-7", "classifier_dropout": "0.25", "is_decoder": "False", "tie_word_embeddings": "false", "architectures": "BertModel"}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.HiddenSize != 8 || c.NumHiddenLayers != 1 || c.LayerNormEps != 1e-7 || *c.ClassifierDropout != 0.25 || !c.UntiedDecoder || !slices.Equal(c.Architectures, []string{"BertModel"}) {
		t.Errorf("got %+v", c)
	}
}

// A model of another family is refused by its name before any key that it lacks.
func TestForeignModelType(t *testing.T) {
	for _, name := range []string{"distilbert", "electra", "roberta", "albert", "mpnet", "deberta-v2", "modernbert", "gpt2"} {
		_, err := ParseConfig([]byte(`{"model_type": "` + name + `", "dim": 768}`))
		var foreign *ForeignModelError
		if !errors.As(err, &foreign) || foreign.Type != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}
