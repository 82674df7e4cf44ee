package sentence

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// folder writes files and returns their folder.
func folder(t testing.TB, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// modulesJSON lists modules: classes of sentence_transformers.models, each in the folder i_CLASS.
func modulesJSON(classes ...string) string {
	entries := []entry{{Name: "0", Type: "sentence_transformers.models.Transformer"}}
	for i, class := range classes {
		n := string(rune('1' + i))
		entries = append(entries, entry{Name: n, Path: n + "_" + class, Type: "sentence_transformers.models." + class})
	}
	data, err := marshalModules(entries)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case err == nil || !strings.Contains(err.Error(), want):
		t.Errorf("%v, want %q", err, want)
	case strings.Contains(err.Error(), "\n"), strings.Contains(err.Error(), "unmarshal"), strings.Contains(err.Error(), "Go value"):
		t.Errorf("%q is no plain line", err)
	}
}

func TestLoadErrors(t *testing.T) {
	const pooling = `{"word_embedding_dimension": 4}`
	var (
		pooled = modulesJSON("Pooling")
		densed = modulesJSON("Pooling", "Dense")
		with   = func(list string, further ...string) map[string]string {
			m := map[string]string{modulesFile: list, "1_Pooling/config.json": pooling}
			for i := 0; i < len(further); i += 2 {
				m[further[i]] = further[i+1]
			}
			return m
		}
		one = func(class string) string {
			return `[{"idx": 0, "name": "0", "path": "", "type": "` + class + `"}]`
		}
	)
	for _, c := range []struct {
		name        string
		files       map[string]string
		file, want  string
		unsupported bool
	}{
		{"no list", with(`{}`), modulesFile, "not a JSON array", false},
		{"empty file", with(``), modulesFile, "not JSON: it ends too early", false},
		{"cut", with(`[{"idx": 0`), modulesFile, "ends too early", false},
		{"two lists", with(pooled + `[]`), modulesFile, "something follows the list of modules", false},
		{"no module", with(`[]`), modulesFile, "no module in it", false},
		{"many", with(`[` + strings.Repeat(`{},`, 100) + `{}]`), modulesFile, "more than 100 modules", false},
		{"no object", with(`["x"]`), modulesFile, "module 0: not a JSON object", false},
		{"no type", with(`[{"name": "0", "path": ""}]`), modulesFile, `module 0: no key "type"`, false},
		{"path no text", with(`[{"name": "0", "path": 3, "type": "x"}]`), modulesFile, "path is \"3\", want a string", false},
		{"path up", with(strings.Replace(pooled, "1_Pooling", "../1_Pooling", 1)), modulesFile, "want a folder inside the model's", false},
		{"path absolute", with(strings.Replace(pooled, "1_Pooling", "/1_Pooling", 1)), modulesFile, "want a folder inside the model's", false},
		{"path of Windows", with(strings.Replace(pooled, "1_Pooling", `..\\1_Pooling`, 1)), modulesFile, "want a folder inside the model's", false},
		{"name twice", with(strings.Replace(pooled, `"name": "1"`, `"name": "0"`, 1)), modulesFile, `module 1: name is "0"`, false},
		{"key twice", with(`[{"name": "0", "name": "1"}]`), modulesFile, `key "name" twice`, false},

		{"other package", with(one("my_models.Transformer")), modulesFile, "module 0 is my_models.Transformer, which is no module of", true},
		{"unknown", with(strings.ReplaceAll(pooled, "models.Pooling", "models.Swirl")), modulesFile, "module 1 is sentence_transformers.models.Swirl, which is no module", true},
		{"CLIP", with(one("sentence_transformers.models.CLIPModel")), modulesFile, "which is no BERT", true},
		{"static", with(one("sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding")), modulesFile, "which is no BERT", true},
		{"CNN", with(modulesJSON("CNN", "Pooling")), modulesFile, "module 1 is sentence_transformers.models.CNN, which is not supported", true},
		{"router", with(modulesJSON("Pooling", "Asym")), modulesFile, "models.Asym, which is not supported", true},
		{"no encoder first", with(one("sentence_transformers.models.Pooling")), modulesFile, "want a Transformer first", true},
		{"two encoders", with(modulesJSON("Pooling", "Transformer")), modulesFile, "a pipeline has one encoder", true},
		{"no pooling", with(modulesJSON()), modulesFile, "there is no Pooling in it", true},
		{"normalize first", with(modulesJSON("Normalize", "Pooling")), "1_Normalize/config.json", "comes before a Pooling", true},

		{"pooling missing", map[string]string{modulesFile: pooled}, "1_Pooling/config.json", "modules.json wants it", false},
		{"pooling in the model's folder", with(strings.Replace(pooled, "1_Pooling", "", 1)), "", "file does not exist for the module Pooling in the folder of the encoder", false},
		{"pooling no object", with(pooled, "1_Pooling/config.json", `[]`), "1_Pooling/config.json", "not a JSON object", false},
		{"mode", with(pooled, "1_Pooling/config.json", `{"pooling_mode": "median"}`), "1_Pooling/config.json", `pooling mode "median": want one of cls, max, mean`, false},
		{"modes", with(pooled, "1_Pooling/config.json", `{"pooling_mode": []}`), "1_Pooling/config.json", "0 modes, want 1 to 32", false},
		{"mode no text", with(pooled, "1_Pooling/config.json", `{"pooling_mode": [1]}`), "1_Pooling/config.json", "want a list of strings", false},
		{"flag", with(pooled, "1_Pooling/config.json", `{"pooling_mode_cls_token": "yes"}`), "1_Pooling/config.json", "want true or false", false},

		{"dense width", with(densed, "2_Dense/config.json", `{"in_features": 5, "out_features": 2}`), "2_Dense/config.json", "in_features is 5, but what comes before the module has 4 numbers", false},
		{"dense size", with(densed, "2_Dense/config.json", `{"in_features": 4, "out_features": 2000000}`), "2_Dense/config.json", "out_features is 2000000, want 1 to", false},
		{"dense without sizes", with(densed, "2_Dense/config.json", `{}`), "2_Dense/config.json", "in_features is 0, want 1 to", false},
		{"dense activation", with(densed, "2_Dense/config.json", `{"in_features": 4, "out_features": 2, "activation_function": "torch.nn.modules.activation.Softmax"}`),
			"2_Dense/config.json", `the activation "torch.nn.modules.activation.Softmax" is not supported`, true},
		{"dense foreign activation", with(densed, "2_Dense/config.json", `{"in_features": 4, "out_features": 2, "activation_function": "my.Tanh"}`),
			"2_Dense/config.json", `the activation "my.Tanh" is not supported`, true},
		{"dense place", with(densed, "2_Dense/config.json", `{"in_features": 4, "out_features": 2, "module_output_name": "scores"}`), "2_Dense/config.json", `module_output_name "scores"`, true},
		{"dense no weights", with(densed, "2_Dense/config.json", `{"in_features": 4, "out_features": 2}`), "2_Dense", "there is neither model.safetensors nor pytorch_model.bin", false},
		{"layer norm", with(modulesJSON("Pooling", "LayerNorm"), "2_LayerNorm/config.json", `{"dimension": 3}`), "2_LayerNorm/config.json", "dimension is 3, but", false},

		{"model type", with(pooled, modelFile, `{"model_type": "SparseEncoder"}`), modelFile, `a model of type "SparseEncoder"`, true},
		{"prompts", with(pooled, modelFile, `{"prompts": ["a"]}`), modelFile, "prompts: not a JSON object", false},
		{"prompt", with(pooled, modelFile, `{"prompts": {"a": 3}}`), modelFile, `a is "3", want a string`, false},
		{"default prompt", with(pooled, modelFile, `{"prompts": {"a": "b"}, "default_prompt_name": "c"}`), modelFile, `default_prompt_name is "c", which is none of prompts`, false},
		{"dimensions", with(pooled, modelFile, `{"truncate_dim": -1}`), modelFile, "truncate_dim is -1", false},
		{"length", with(pooled, settingsFiles[0], `{"max_seq_length": 2}`), settingsFiles[0], "the longest sequence is 2, want at least 3", false},
		{"length no number", with(pooled, settingsFiles[0], `{"max_seq_length": "128"}`), settingsFiles[0], "want a whole number", false},
		{"task", with(pooled, settingsFiles[0], `{"transformer_task": "fill-mask"}`), settingsFiles[0], `transformer_task is "fill-mask"`, true},
		{"output", with(pooled, settingsFiles[0], `{"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}}`),
			settingsFiles[0], `the method's output for text is "pooler_output"`, true},
		{"too many keys", with(pooled, settingsFiles[0], `{`+manyKeys(101)+`}`), settingsFiles[0], "and more keys that are not known", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, c.files)
			_, err := Load(dir, 4)
			wantError(t, err, c.want)
			wantError(t, err, filepath.Join(dir, filepath.FromSlash(c.file))+": ")
			if errors.Is(err, fs.ErrNotExist) {
				t.Error("it is as if there were no modules.json")
			}
			if unsupported := errors.As(err, new(*UnsupportedError)); unsupported != c.unsupported {
				t.Errorf("unsupported %v, want %v", unsupported, c.unsupported)
			}
		})
	}
	_, err := Load(t.TempDir(), 4)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without modules.json: %v", err)
	}
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = `"k` + strings.Repeat("x", i) + `": 1`
	}
	return strings.Join(keys, ", ")
}

// The weights of a module have the shapes that its configuration says, and nothing else is there.
func TestWeights(t *testing.T) {
	tensor := func(name string, values []float32, shape ...int) checkpoint.Tensor {
		raw, err := checkpoint.FromFloat32(checkpoint.F32, values)
		if err != nil {
			t.Fatal(err)
		}
		return checkpoint.Tensor{Name: name, DType: checkpoint.F32, Shape: shape, Data: raw}
	}
	weight, bias := tensor("linear.weight", make([]float32, 8), 2, 4), tensor("linear.bias", make([]float32, 2), 2)
	for want, tensors := range map[string][]checkpoint.Tensor{
		"":                                     {weight, bias},
		"there is no tensor linear.bias":       {weight},
		"has the shape [4 2], want [2 4]":      {tensor("linear.weight", make([]float32, 8), 4, 2), bias},
		`tensor "other" is none of the module`: {weight, bias, tensor("other", []float32{1}, 1)},
	} {
		dir := folder(t, map[string]string{
			modulesFile: modulesJSON("Pooling", "Dense"), "1_Pooling/config.json": `{}`, "2_Dense/config.json": `{"in_features": 4, "out_features": 2}`,
		})
		if err := checkpoint.WriteSafetensors(filepath.Join(dir, "2_Dense", "model.safetensors"), tensors, nil); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir, 4)
		if want == "" && err == nil {
			continue
		}
		wantError(t, err, want)
	}
}

// What is unsupported leaves the settings for texts.
func TestUnsupportedSettings(t *testing.T) {
	dir := folder(t, map[string]string{
		modulesFile: modulesJSON("CNN", "Pooling"), settingsFiles[1]: `{"max_seq_length": 9, "do_lower_case": true}`, modelFile: `{"prompts": {"a": "b "}}`,
	})
	p, err := Load(dir, 4)
	if p == nil || p.MaxSeqLength != 9 || !p.LowerCase || !slices.Equal(p.Prompts, []Prompt{{"a", "b "}}) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := p.Vector(make([]float32, 8), 4, 0); err == nil {
		t.Error("it makes vectors")
	}
	_, err = p.Prompt("c")
	wantError(t, err, `there is no prompt "c": want one of "a"`)
}

func TestNotes(t *testing.T) {
	dir := folder(t, map[string]string{
		modulesFile: modulesJSON("Pooling"), "1_Pooling/config.json": `{"embedding_dimension": 5, "swirl": 1}`,
		settingsFiles[0]: `{"tokenizer_args": {"padding_side": "left", "model_max_length": 7}, "max_seq_length": 9}`,
		modelFile:        `{"similarity_fn_name": "maxsim"}`,
	})
	p, err := Load(dir, 4)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.ReplaceAll(strings.Join(p.Notes, "\n"), dir+string(filepath.Separator), "")
	want := `config_sentence_transformers.json: similarity_fn_name is "maxsim", which is ignored
sentence_bert_config.json has the key "padding_side", which is ignored
1_Pooling/config.json has the key "swirl", which is ignored
1_Pooling/config.json says that hidden states have 5 numbers, but they have 4`
	if filepath.ToSlash(notes) != want {
		t.Errorf("notes\n%s\nwant\n%s", notes, want)
	}
	if p.MaxSeqLength != 7 || p.Similarity != Cosine {
		t.Errorf("at most %d tokens, %v", p.MaxSeqLength, p.Similarity)
	}
}

// The folder of the encoder is as good as that of the pipeline.
func TestEncoderDir(t *testing.T) {
	list := strings.Replace(modulesJSON("Pooling"), `"path": ""`, `"path": "0_Transformer"`, 1)
	dir := folder(t, map[string]string{modulesFile: list, "1_Pooling/config.json": `{}`, "0_Transformer/config.json": `{}`})
	encoder := filepath.Join(dir, "0_Transformer")
	// A configuration in the folder itself is somebody else's.
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte(`{}`), 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: encoder, encoder: encoder, filepath.Join(dir, "1_Pooling"): filepath.Join(dir, "1_Pooling"), "nowhere": "nowhere"} {
		if got := EncoderDir(path); got != want {
			t.Errorf("the encoder of %s is in %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{dir, encoder} {
		if p, err := Load(path, 4); err != nil || p.Encoder != encoder {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
	if p, err := Load(filepath.Join(dir, "1_Pooling"), 4); err == nil {
		t.Errorf("the folder of another module: %+v", p)
	}
}

// A Normalize needs no folder of its own, and what lies in that of the encoder stays as it is.
func TestNormalizeWithoutFolder(t *testing.T) {
	for _, at := range []string{"", "0_Transformer"} {
		list := strings.Replace(modulesJSON("Pooling", "Normalize"), `"path": ""`, `"path": "`+at+`"`, 1)
		list = strings.Replace(list, "2_Normalize", "", 1)
		dir := folder(t, map[string]string{modulesFile: list, "1_Pooling/config.json": `{}`, configFile: `{"hidden_size": 4}`})
		p, err := Load(dir, 4)
		if err != nil || p.String() != "mean pooling, Normalize" || p.Notes != nil {
			t.Fatalf("%v, %v, notes %q", p, err, p.Notes)
		}
		if names, err := p.Save(t.TempDir()); err != nil || !slices.Equal(names, []string{modulesFile, "1_Pooling/config.json"}) {
			t.Errorf("wrote %q, %v", names, err)
		}
	}
}

// What Save writes is read back: the settings as they are, the encoder in the folder itself.
func TestSave(t *testing.T) {
	list := strings.Replace(modulesJSON("Pooling", "Normalize"), `"path": ""`, `"path": "0_Transformer"`, 1)
	dir := folder(t, map[string]string{
		modulesFile: list, "1_Pooling/config.json": `{"pooling_mode": ["max", "cls"]}`, "0_Transformer/" + settingsFiles[2]: `{"max_seq_length": 9}`,
		modelFile: `{"prompts": {"a": "b"}, "default_prompt_name": "a", "similarity_fn_name": "dot", "truncate_dim": 3}`,
	})
	p, err := Load(dir, 4)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	names, err := p.Save(out)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if want := []string{"1_Pooling/config.json", modelFile, modulesFile, settingsFiles[2]}; !slices.Equal(names, want) {
		t.Errorf("wrote %q, want %q", names, want)
	}
	back, err := Load(out, 4)
	if err != nil {
		t.Fatal(err)
	}
	if back.Encoder != out || back.Modules[0].Path != "" {
		t.Errorf("the encoder is in %s", back.Encoder)
	}
	back.Dir, back.Encoder, back.Modules[0].Path = p.Dir, p.Encoder, p.Modules[0].Path
	back.files, p.files = nil, nil
	if !reflect.DeepEqual(back, p) {
		t.Errorf("read back %+v, want %+v", back, p)
	}
	if got, want := p.String(), "max + cls pooling, Normalize, the first 3 elements"; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}

func TestPools(t *testing.T) {
	states := []float32{1, -2, 3, 4, 5, -6}     // three tokens
	for m, want := range map[Mode][2][]float32{ // of all tokens, and beside a prompt of one
		CLS:          {{1, -2}, {3, 4}},
		Max:          {{5, 4}, {5, 4}},
		Mean:         {{3, float32(-4.0 / 3)}, {4, -1}},
		MeanSqrtLen:  {{float32(9 / math.Sqrt(3)), float32(-4 / math.Sqrt(3))}, {float32(8 / math.Sqrt2), float32(-2 / math.Sqrt2)}},
		WeightedMean: {{float32(22.0 / 6), float32(-12.0 / 6)}, {float32(21.0 / 5), float32(-10.0 / 5)}},
		LastToken:    {{5, -6}, {5, -6}},
	} {
		if got := m.Pool(states, 2); !slices.Equal(got, want[0]) {
			t.Errorf("%v: %v, want %v", m, got, want[0])
		}
		f := features{tokens: states, width: 2, prompt: 1}
		if err := (&pooling{modes: []Mode{m}}).apply(&f); err != nil || !slices.Equal(f.vector, want[1]) {
			t.Errorf("%v beside a prompt: %v, %v; want %v", m, f.vector, err, want[1])
		}
		f = features{tokens: states, width: 2, prompt: 3}
		err := (&pooling{modes: []Mode{m}}).apply(&f)
		if m == Max {
			wantError(t, err, "no token is left beside the prompt")
		} else if zero := m != CLS; err != nil || zero != slices.Equal(f.vector, make([]float32, 2)) {
			t.Errorf("%v beside a prompt of all tokens: %v, %v", m, f.vector, err)
		}
		if parsed, err := ParseMode(m.String()); err != nil || parsed != m {
			t.Errorf("%v: %v, %v", m, parsed, err)
		}
	}
	if len(Modes()) != len(modes) {
		t.Errorf("modes %v", Modes())
	}
}

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ v, want []float32 }{{[]float32{3, 4}, []float32{0.6, 0.8}}, {[]float32{0, 0}, []float32{0, 0}}, {[]float32{1e-20, 0}, []float32{1e-8, 0}}} {
		v := slices.Clone(c.v)
		if Normalize(v); !slices.Equal(v, c.want) {
			t.Errorf("%v becomes %v, want %v", c.v, v, c.want)
		}
	}
}

func TestSimilarities(t *testing.T) {
	a, b := []float32{1, 2}, []float32{4, 6}
	for s, want := range map[Similarity]float64{Cosine: 16 / math.Sqrt(5*52), Dot: 16, Euclidean: -5, Manhattan: -7} {
		if got := s.Of(a, b); math.Abs(got-want) > 1e-12 {
			t.Errorf("%v: %v, want %v", s, got, want)
		}
		if parsed, err := ParseSimilarity(s.String()); err != nil || parsed != s {
			t.Errorf("%v: %v, %v", s, parsed, err)
		}
	}
	if got := Cosine.Of([]float32{0, 0}, b); got != 0 {
		t.Errorf("the cosine with a vector of no length is %v", got)
	}
	_, err := ParseSimilarity("near")
	wantError(t, err, "want one of cosine, dot, euclidean, manhattan")
}

func TestCrossEncoder(t *testing.T) {
	const tanh, identity = `"torch.nn.modules.activation.Tanh"`, `"torch.nn.modules.linear.Identity"`
	for _, c := range []struct {
		extra string
		p     *Pipeline
		want  Activation
		ok    bool
	}{
		{`{}`, nil, Identity, false},
		{`{"sentence_transformers": null, "sbert_ce_default_activation_function": null}`, nil, Identity, false},
		{`{"sentence_transformers": {"version": "4.0.1"}}`, nil, Sigmoid, true},
		{`{"sentence_transformers": {"activation_fn": ` + identity + `}}`, nil, Identity, true},
		{`{"sbert_ce_default_activation_function": ` + identity + `}`, nil, Identity, true},
		{`{"sentence_transformers": {}, "sbert_ce_default_activation_function": ` + identity + `}`, nil, Identity, true},
		{`{"sentence_transformers": {"activation_fn": null}, "sbert_ce_default_activation_function": ` + identity + `}`, nil, Sigmoid, true},
		{`{}`, &Pipeline{}, Identity, false},
		{`{}`, &Pipeline{CrossEncoder: true}, Sigmoid, true},
		{`{"sbert_ce_default_activation_function": ` + tanh + `}`, &Pipeline{CrossEncoder: true, score: "torch.nn.Identity"}, Identity, true},
	} {
		var extra map[string]json.RawMessage
		if err := json.Unmarshal([]byte(c.extra), &extra); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := CrossEncoder(extra, c.p); got != c.want || ok != c.ok || err != nil {
			t.Errorf("%s: %v, %v, %v; want %v, %v", c.extra, got, ok, err, c.want, c.ok)
		}
	}
	for extra, want := range map[string]string{
		`{"sentence_transformers": []}`:                          "sentence_transformers: not a JSON object",
		`{"sbert_ce_default_activation_function": 3}`:            "want a string",
		`{"sbert_ce_default_activation_function": "my.Swirl"}`:   `the activation "my.Swirl" is not supported`,
		`{"sentence_transformers": {"activation_fn": "torch."}}`: `the activation "torch." is not supported`,
	} {
		var keys map[string]json.RawMessage
		if err := json.Unmarshal([]byte(extra), &keys); err != nil {
			t.Fatal(err)
		}
		_, _, err := CrossEncoder(keys, nil)
		wantError(t, err, want)
	}
}

// checkPlain checks an error of a fuzz target: a short line.
func checkPlain(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 2000) {
		t.Errorf("%q is no plain line", err)
	}
}

func FuzzModules(f *testing.F) {
	for _, s := range []string{modulesJSON("Pooling", "Dense"), `[{"idx": 0, "name": "0", "path": "a/..", "type": "x", "kwargs": ["task"]}]`, `[]`, `{}`, "[" + strings.Repeat("5", 400) + "]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseModules(data)
		checkPlain(t, err)
		if err != nil {
			return
		}
		again, err := marshalModules(entries)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseModules(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		for i := range entries {
			entries[i].kwargs, back[i].kwargs = nil, nil // whose white space may differ
		}
		if !reflect.DeepEqual(back, entries) {
			t.Errorf("%s reads as %+v, want %+v", again, back, entries)
		}
	})
}

func FuzzSettings(f *testing.F) {
	for _, s := range []string{
		`{"max_seq_length": 256, "do_lower_case": false}`,
		`{"transformer_task": "feature-extraction", "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}, "module_output_name": "token_embeddings"}`,
		`{"processing_kwargs": {"text": {"max_length": 9, "padding": true}}, "tokenizer_args": {"model_max_length": 7}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Pipeline
		err := p.parseSettings("f", data)
		checkPlain(t, err)
		if err == nil && (p.MaxSeqLength < 0 || p.MaxSeqLength > 0 && p.MaxSeqLength < minSeqLength) {
			t.Errorf("at most %d tokens", p.MaxSeqLength)
		}
	})
}

func FuzzModel(f *testing.F) {
	for _, s := range []string{
		`{"__version__": {"sentence_transformers": "2.0.0"}}`,
		`{"model_type": "SentenceTransformer", "prompts": {"query": "query: ", "document": null}, "default_prompt_name": "query", "similarity_fn_name": "dot", "truncate_dim": 3}`,
		`{"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.activation.Sigmoid"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Pipeline
		err := p.parseModel("f", data)
		checkPlain(t, err)
		if err == nil && p.DefaultPrompt != "" {
			if _, err := p.Prompt(""); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzModule reads the configuration of a module of each kind, beside a Pooling and weights that fit a Dense of 4 and 2.
func FuzzModule(f *testing.F) {
	dir := f.TempDir()
	var weights []checkpoint.Tensor
	for name, shape := range map[string][]int{"linear.weight": {2, 4}, "linear.bias": {2}} {
		n := 1
		for _, d := range shape {
			n *= d
		}
		raw, err := checkpoint.FromFloat32(checkpoint.F32, make([]float32, n))
		if err != nil {
			f.Fatal(err)
		}
		weights = append(weights, checkpoint.Tensor{Name: name, DType: checkpoint.F32, Shape: shape, Data: raw})
	}
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, "model.safetensors"), weights, nil); err != nil {
		f.Fatal(err)
	}
	for i, s := range []string{
		`{"word_embedding_dimension": 4, "pooling_mode_cls_token": true}`, `{"embedding_dimension": 4, "pooling_mode": ["mean", "max"], "include_prompt": false}`,
		`{"in_features": 4, "out_features": 2, "bias": true, "activation_function": "torch.nn.modules.activation.Tanh"}`, `{"dimension": 4}`,
		`{"module_input_name": "token_embeddings"}`, `{"dropout": 0.1}`,
	} {
		f.Add(i, []byte(s))
	}
	f.Fuzz(func(t *testing.T, at int, data []byte) {
		k := &kinds[max(0, at%len(kinds))]
		if k.read == nil {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, configFile), data, 0o666); err != nil {
			t.Fatal(err)
		}
		r := &reader{pipeline: &Pipeline{Dir: dir}, widths: widths{tokens: 4, vector: 4}, pooled: true}
		s, err := k.read(r, &Module{}, dir)
		checkPlain(t, err)
		if err != nil || s == nil {
			return
		}
		features := features{tokens: make([]float32, 12), width: 4, prompt: 1, vector: make([]float32, 4)}
		if err := s.apply(&features); err != nil {
			t.Fatal(err)
		}
		if want := r.widths.vector; len(features.vector) != want || features.width != r.widths.tokens {
			t.Errorf("widths %d and %d, want %d and %d", len(features.vector), features.width, want, r.widths.tokens)
		}
	})
}

// TestNewDense: a pipeline with a dense layer that is new gives the vectors that it gives when it was saved and read back.
func TestNewDense(t *testing.T) {
	d := &Dense{Out: 2, Weight: []float32{1, 2, 3, -1, 0.5, 0}, Bias: []float32{0.25, -1}}
	p, err := New(Options{Hidden: 3, Dense: d, Normalize: true, MaxSeqLength: 8})
	if err != nil {
		t.Fatal(err)
	}
	states := []float32{1, 0, 2, 3, -2, 0}
	got, err := p.Vector(states, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The mean is 2, −1, 1; W·x + b is 3.25, −3.5.
	want := []float32{3.25, -3.5}
	Normalize(want)
	if !slices.Equal(got, want) {
		t.Errorf("the vector is %v, want %v", got, want)
	}
	dir := t.TempDir()
	if _, err := p.Save(dir); err != nil {
		t.Fatal(err)
	}
	read, err := Load(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := read.Vector(states, 3, 0); err != nil || !slices.Equal(again, got) || read.String() != p.String() {
		t.Errorf("read back, %v gives %v (%v), want %v of %v", read, again, err, got, p)
	}
	for _, bad := range []*Dense{{Out: 2, Weight: d.Weight[:5], Bias: d.Bias}, {Out: 2, Weight: d.Weight, Bias: nil}, {}} {
		if _, err := New(Options{Hidden: 3, Dense: bad}); err == nil {
			t.Errorf("a dense layer of %d weights and %d biases is accepted", len(bad.Weight), len(bad.Bias))
		}
	}
}
