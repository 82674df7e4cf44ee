package bert

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
)

// savedModel saves a model of random weights, and returns its folder.
func savedModel(t *testing.T, head Head, o SaveOptions) string {
	t.Helper()
	dir := t.TempDir()
	if err := newTestModel(t, smallConfig(), head, 1).Save(dir, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func loadModel(t *testing.T, dir string, o Options) *Model {
	t.Helper()
	m, err := Load(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// outputsOf are a model's outputs for a batch.
func outputsOf(t *testing.T, m *Model) []float32 {
	t.Helper()
	out, err := m.NewSession().Forward(testBatch(m.config, 9, 1, 24, 13, 2), Outputs{LastHidden: true})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(out.LastHidden, out.Logits, out.NextSentenceLogits)
}

// plans are ways to make a model int8.
func plans() map[string]*Quantize {
	scales := make([]float32, smallConfig().HiddenSize)
	for j := range scales {
		scales[j] = float32(1+j%5) / 2
	}
	all := map[string][]float32{"encoder.layer.1.intermediate.dense": scales}
	for _, name := range attentionInputs(0) {
		all[name] = scales
	}
	return map[string]*Quantize{
		"default":     {},
		"all":         {WeightsOnly: []string{}},
		"scaled":      {WeightsOnly: []string{}, InputScales: all},
		"block 1":     {Keep: []string{"0", "embeddings"}, WeightsOnly: []string{}},
		"one of qkv":  {Keep: []string{"encoder.layer.*.attention.self.key"}, WeightsOnly: []string{}},
		"as at int8":  {Keep: []string{"query", "key", "value", "embeddings"}},
		"weights":     {WeightsOnly: Int8Kinds()},
		"nothing":     {Keep: Int8Kinds()},
		"odd mixture": {Keep: []string{"encoder.layer.0.output.dense"}, WeightsOnly: []string{"encoder.layer.1.*.dense", "query"}},
	}
}

// TestQuantize asserts for each plan that a file of int8 weights gives the bits of quantizing at load, on any number of threads and on a
// device that does everything late; and that saving such a model writes the same file.
func TestQuantize(t *testing.T) {
	plain := savedModel(t, PreTraining, SaveOptions{})
	for name, q := range plans() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := loadModel(t, plain, Options{Threads: 1}).Save(dir, SaveOptions{Quantize: q}); err != nil {
				t.Fatal(err)
			}
			m := loadModel(t, dir, Options{Threads: 1})
			want := outputsOf(t, loadModel(t, plain, Options{Precision: Int8, Quantize: q, Threads: 1}))
			if p, _ := m.Precision(); p != m.config.DefaultPrecision() || (p == Int8) != (name != "weights" && name != "nothing") {
				t.Errorf("the precision is %v", p)
			}
			at8 := loadModel(t, dir, Options{Precision: Int8, Threads: 3})
			if !slices.Equal(outputsOf(t, at8), want) {
				t.Error("the file gives other bits than quantizing at load")
			}
			late := loadModel(t, dir, Options{Precision: Int8, Device: deferred(true, nil)})
			direct := loadModel(t, dir, Options{Precision: Int8, Device: deferred(false, nil)})
			if !slices.Equal(outputsOf(t, late), outputsOf(t, direct)) {
				t.Error("a deferred device gives other bits")
			}
			again := t.TempDir()
			if err := at8.Save(again, SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"model.safetensors", "config.json"} {
				if !slices.Equal(contents(t, filepath.Join(again, file)), contents(t, filepath.Join(dir, file))) {
					t.Errorf("%s saved once more differs", file)
				}
			}
		})
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestQuantizeAsAtInt8 asserts that a file in which the same is int8 as at Int8 without a plan gives the same bits as that.
func TestQuantizeAsAtInt8(t *testing.T) {
	plain, dir := savedModel(t, MaskedLM, SaveOptions{}), t.TempDir()
	if err := loadModel(t, plain, Options{}).Save(dir, SaveOptions{Quantize: plans()["as at int8"]}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(outputsOf(t, loadModel(t, dir, Options{})), outputsOf(t, loadModel(t, plain, Options{Precision: Int8}))) {
		t.Error("the bits differ")
	}
}

// TestDequantize asserts that at another precision the numbers are those that the integers mean: within half a step of the original,
// whether the input is scaled or not; and that such a model trains and is saved as float32.
func TestDequantize(t *testing.T) {
	plain := savedModel(t, SequenceClassification, SaveOptions{})
	original := loadModel(t, plain, Options{})
	for name, q := range plans() {
		dir := t.TempDir()
		if err := original.Save(dir, SaveOptions{Quantize: q}); err != nil {
			t.Fatal(err)
		}
		m := loadModel(t, dir, Options{Dequantize: true})
		if p, _ := m.Precision(); p != Float32 || m.config.Quantization != nil {
			t.Fatalf("%s: the precision is %v", name, p)
		}
		if notes := strings.Join(m.Report().Assumed, "\n"); name != "nothing" && !strings.Contains(notes, "int8") {
			t.Errorf("%s: no notice that the weights are int8: %q", name, notes)
		}
		uses, err := q.Uses(&m.config, m.head)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.params {
			p := &m.params[i]
			values, want := m.host(p.value), original.host(original.params[i].value)
			if !uses[canonicalLayer(p.Name)] {
				if !slices.Equal(values, want) {
					t.Errorf("%s: %s changed", name, p.Name)
				}
				continue
			}
			in := p.Shape[1]
			scales := q.InputScales[canonicalLayer(p.Name)]
			if scales == nil {
				scales = slices.Repeat([]float32{1}, in)
			}
			for r := range p.Shape[0] {
				top := 0.0
				for j := range in {
					top = max(top, math.Abs(float64(want[r*in+j]/scales[j])))
				}
				for j := range in {
					if step := top / 127 * float64(scales[j]); math.Abs(float64(values[r*in+j]-want[r*in+j])) > 0.501*step {
						t.Fatalf("%s: %s[%d][%d] is %g, want %g to within half of %g", name, p.Name, r, j, values[r*in+j], want[r*in+j], step)
					}
				}
			}
		}
		newTrainer(t, m).Close()
		again := t.TempDir()
		if err := m.Save(again, SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		if c, err := LoadConfig(again); err != nil || c.Quantization != nil {
			t.Errorf("%s: saved as float32, the configuration has %v, %v", name, c.Quantization, err)
		}
	}
}

// TestInt8Files asserts that int8 weights whose scales can't be used are refused with the name of the tensor, and that those of other
// programs are taken: a scale for the whole tensor, scales in other types and shapes, integers of −128.
func TestInt8Files(t *testing.T) {
	const layer = "bert.encoder.layer.1.output.dense."
	const weight, scale = layer + "weight", layer + "weight_scale"
	dir := savedModel(t, SequenceClassification, SaveOptions{Quantize: &Quantize{WeightsOnly: []string{}}})
	file, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f32 := func(name string, shape []int, values ...float32) checkpoint.Tensor {
		data, err := checkpoint.FromFloat32(checkpoint.F32, values)
		if err != nil {
			t.Fatal(err)
		}
		return checkpoint.Tensor{Name: name, DType: checkpoint.F32, Shape: shape, Data: data}
	}
	const out, in = 20, 37
	scalesWith := func(v float32) checkpoint.Tensor {
		values := slices.Repeat([]float32{0.01}, out)
		values[7] = v
		return f32(scale, []int{out, 1}, values...)
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	lowest := slices.Repeat([]int8{-128, 3}, out*in/2)
	for name, c := range map[string]struct {
		tensors []checkpoint.Tensor // in place of those of the same names
		drop    string
		want    string // the error; "": none
		// onlyInt8 says that there is no error at float32.
		onlyInt8 bool
	}{
		"as it is":          {},
		"one scale":         {tensors: []checkpoint.Tensor{f32(scale, []int{1}, 0.01)}},
		"flat scales":       {tensors: []checkpoint.Tensor{f32(scale, []int{out}, slices.Repeat([]float32{0.01}, out)...)}},
		"-128":              {tensors: []checkpoint.Tensor{{Name: weight, DType: checkpoint.I8, Shape: []int{out, in}, Data: checkpoint.FromInt8(lowest)}}},
		"input scales":      {tensors: []checkpoint.Tensor{f32(layer+"pre_quant_scale", []int{in}, slices.Repeat([]float32{2}, in)...)}},
		"no scale":          {drop: scale, want: weight + " has type I8: its scales, " + scale + ", are missing"},
		"a zero":            {tensors: []checkpoint.Tensor{scalesWith(0)}, want: "scale 7 in " + scale + " is 0, want a positive number"},
		"negative":          {tensors: []checkpoint.Tensor{scalesWith(-1)}, want: "scale 7 in " + scale + " is -1"},
		"a NaN":             {tensors: []checkpoint.Tensor{scalesWith(nan)}, want: "scale 7 in " + scale + " is NaN"},
		"infinite":          {tensors: []checkpoint.Tensor{scalesWith(inf)}, want: "scale 7 in " + scale + " is +Inf"},
		"too few":           {tensors: []checkpoint.Tensor{f32(scale, []int{2, 1}, 1, 1)}, want: "have shape [2 1], want [20]"},
		"by columns":        {tensors: []checkpoint.Tensor{f32(scale, []int{1, in}, slices.Repeat([]float32{1}, in)...)}, want: "have shape [1 37], want [20]"},
		"integers":          {tensors: []checkpoint.Tensor{{Name: scale, DType: checkpoint.U8, Shape: []int{out}, Data: make([]byte, out)}}, want: "have type U8"},
		"input scale of 0":  {tensors: []checkpoint.Tensor{f32(layer+"pre_quant_scale", []int{in}, make([]float32, in)...)}, want: "is 0, want a positive number"},
		"one input scale":   {tensors: []checkpoint.Tensor{f32(layer+"pre_quant_scale", []int{1}, 1)}, want: "have shape [1], want [37]"},
		"zero points":       {tensors: []checkpoint.Tensor{{Name: layer + "weight_zero_point", DType: checkpoint.I8, Shape: []int{out}, Data: make([]byte, out)}}, want: "weight_zero_point"},
		"key of its own":    {tensors: []checkpoint.Tensor{f32("bert.encoder.layer.0.attention.self.key.pre_quant_scale", []int{out}, slices.Repeat([]float32{2}, out)...)}, want: "query, key and value have one input", onlyInt8: true},
		"of a bias":         {tensors: []checkpoint.Tensor{{Name: layer + "bias", DType: checkpoint.I8, Shape: []int{out}, Data: make([]byte, out)}}, want: "only matrices may be"},
		"another's weights": {tensors: []checkpoint.Tensor{{Name: weight, DType: checkpoint.I8, Shape: []int{out, 2}, Data: make([]byte, 2*out)}}, want: "has shape [20 2], want [20 37]"},
	} {
		t.Run(name, func(t *testing.T) {
			tensors := slices.DeleteFunc(slices.Clone(file.Tensors()), func(have checkpoint.Tensor) bool {
				return have.Name == c.drop || slices.ContainsFunc(c.tensors, func(with checkpoint.Tensor) bool { return with.Name == have.Name })
			})
			changed := t.TempDir()
			if err := os.WriteFile(filepath.Join(changed, "config.json"), contents(t, filepath.Join(dir, "config.json")), 0o666); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(changed, "model.safetensors")
			if err := checkpoint.WriteSafetensors(path, append(tensors, c.tensors...), nil); err != nil {
				t.Fatal(err)
			}
			for _, o := range []Options{{}, {Dequantize: true}} {
				m, err := Load(t.Context(), changed, o)
				if c.onlyInt8 && o.Dequantize {
					c.want = ""
				}
				switch {
				case c.want == "" && err != nil:
					t.Fatal(err)
				case c.want == "":
					outputsOf(t, m)
					if name == "-128" && !strings.Contains(strings.Join(m.Report().Assumed, ""), "-128") {
						t.Errorf("no notice of integers of -128: %q", m.Report().Assumed)
					}
					m.Close()
				case err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), changed):
					t.Errorf("the error is %v, want one with %q and the path", err, c.want)
				}
			}
		})
	}
}

// TestQuantizeNaN asserts that a weight that isn't finite is named.
func TestQuantizeNaN(t *testing.T) {
	m := newTestModel(t, smallConfig(), NoHead, 1)
	p := &m.params[slices.IndexFunc(m.params, func(p parameter) bool { return strings.Contains(p.Name, "intermediate") })]
	values := slices.Clone(m.host(p.value))
	values[40] = float32(math.NaN())
	m.device.Write(p.value, values)
	var e *NotFiniteError
	if err := m.Save(t.TempDir(), SaveOptions{Quantize: &Quantize{}}); !errors.As(err, &e) || e.Tensor != p.Name || e.Count != 1 {
		t.Errorf("the error is %v", err)
	}
}

// TestSelectLayers asserts what lists of layers select, and that a mistake is an error.
func TestSelectLayers(t *testing.T) {
	c := smallConfig()
	layers := Int8Layers(&c, MaskedLM)
	for list, want := range map[string]int{
		"0": 6, "0,1": 12, "query": 2, "attention.output": 2, "output": 2, "embeddings": 3, "encoder.layer.*.output.dense": 2,
		"*.*.*.*.dense": 4, "1,query": 7, "decoder": 0, "": 0,
	} {
		got, err := selectLayers(layers, strings.FieldsFunc(list, func(r rune) bool { return r == ',' }))
		if err != nil || len(got) != want {
			t.Errorf("%q selects %d layers, %v, want %d", list, len(got), err, want)
		}
	}
	for _, bad := range []string{"2", "-1", "pooler", "encoder.layer.7.*", "[", "query "} {
		if _, err := selectLayers(layers, []string{bad}); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
	bad := []float32{1, 0}
	for _, q := range []*Quantize{{InputScales: map[string][]float32{"pooler.dense": bad}}, {InputScales: map[string][]float32{layers[3].Name: bad}}} {
		if err := q.Check(&c, MaskedLM); err == nil {
			t.Errorf("scales %v are no error", q.InputScales)
		}
	}
}

// TestQuantizationConfig asserts how a quantization_config of compressed-tensors is read, and that other formats are left alone.
func TestQuantizationConfig(t *testing.T) {
	const (
		numbers = `{"num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel", "dynamic": false, "observer": "minmax"}`
		tokens  = `{"num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "dynamic": true}`
		fixed   = `{"num_bits": 8, "type": "int", "symmetric": true, "strategy": "tensor", "dynamic": false}`
		begin   = `{"quant_method": "compressed-tensors", "format": "int-quantized", "config_groups": {"group_0": {"targets": `
	)
	q, err := parseQuantization(json.RawMessage(begin + `["Linear", "re:.*\\.3\\."], "weights": ` + numbers + `, "input_activations": ` + tokens +
		`}, "group_1": {"targets": ["encoder.layer.3.output.dense", "Embedding"], "weights": ` + numbers + `}}, "ignore": ["re:encoder.layer.[45]", "bert.pooler.dense"]}`))
	if err != nil || q == nil {
		t.Fatal(q, err)
	}
	for layer, want := range map[string]int8Use{
		"encoder.layer.0.output.dense": useInputs, "encoder.layer.3.output.dense": useWeights, "encoder.layer.3.intermediate.dense": useInputs,
		"encoder.layer.4.output.dense": useFloat, "pooler.dense": useFloat,
	} {
		if got := q.use(layer, true); got != want {
			t.Errorf("%s is used as %d, want %d", layer, got, want)
		}
	}
	if got := q.use("embeddings.word_embeddings", false); got != useWeights {
		t.Errorf("the word embedding is used as %d", got)
	}
	for name, text := range map[string]string{
		"another method": `{"quant_method": "gptq", "bits": 4}`,
		"packed":         `{"quant_method": "compressed-tensors", "format": "pack-quantized"}`,
		"static inputs":  begin + `["Linear"], "weights": ` + numbers + `, "input_activations": ` + fixed + `}}}`,
		"no weights":     begin + `["Linear"]}}}`,
		"not an object":  `3`,
	} {
		if q, err := parseQuantization(json.RawMessage(text)); q != nil || err != nil {
			t.Errorf("%s: %v, %v", name, q, err)
		}
	}
	if _, err := parseQuantization(json.RawMessage(begin + `["re:("], "weights": ` + numbers + `}}}`)); err == nil {
		t.Error("an expression that is none is no error")
	}
}

// TestCalibration asserts that the scales of a calibration follow SmoothQuant's formula from what the layers see, and that of a model with
// a few large columns they win back most of what rounding loses.
func TestCalibration(t *testing.T) {
	c := smallConfig()
	m := newTestModel(t, c, NoHead, 2)
	for i := range m.params {
		if p := &m.params[i]; strings.HasSuffix(p.Name, "LayerNorm.weight") {
			values := slices.Clone(m.host(p.value))
			values[3], values[11] = 40, -25
			m.device.Write(p.value, values)
		}
	}
	b := testBatch(c, 9, 1, 24, 13, 2)
	calibration := m.NewCalibration()
	if _, err := calibration.InputScales(0.5); err == nil {
		t.Error("without texts there is no error")
	}
	if err := calibration.Add(b); err != nil {
		t.Fatal(err)
	}
	const alpha = 0.6
	scales, err := calibration.InputScales(alpha)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := m.NewSession().Forward(b, Outputs{Hidden: true, LastHidden: true})
	if err != nil {
		t.Fatal(err)
	}
	for block := range c.NumHiddenLayers {
		names := attentionInputs(block)
		largest := func(values []float32, j int) (most float64) {
			for i := j; i < len(values); i += c.HiddenSize {
				most = max(most, math.Abs(float64(values[i])))
			}
			return most
		}
		var weights []float32
		for _, name := range names {
			values, err := m.Values(name + ".weight")
			if err != nil {
				t.Fatal(err)
			}
			weights = append(weights, values...)
			if !slices.Equal(scales[name], scales[names[0]]) {
				t.Errorf("%s has scales of its own", name)
			}
		}
		ratio := 0.0 // of the scales to 1/s, the same for all columns
		for j, scale := range scales[names[0]] {
			s := math.Pow(largest(exact.Hidden[block], j), alpha) / math.Pow(largest(weights, j), 1-alpha)
			if ratio == 0 {
				ratio = float64(scale) * s
			}
			if got := float64(scale) * s / ratio; math.Abs(got-1) > 1e-5 {
				t.Errorf("block %d: column %d has %g of the scale that it should have", block, j, got)
			}
		}
	}
	dir := t.TempDir()
	if err := m.Save(dir, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	lost := func(scales map[string][]float32) float64 {
		q := &Quantize{Keep: []string{"attention.output", "output", "embeddings"}, WeightsOnly: []string{}, InputScales: scales}
		got := loadModel(t, dir, Options{Head: NoHead, Precision: Int8, Quantize: q})
		out, err := got.NewSession().Forward(b, Outputs{LastHidden: true})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, v := range out.LastHidden {
			sum += math.Pow(float64(v-exact.LastHidden[i]), 2)
		}
		return math.Sqrt(sum)
	}
	if plain, scaled := lost(nil), lost(scales); scaled > plain/2 {
		t.Errorf("with scales the error is %.3g, without %.3g: want at most half", scaled, plain)
	}
}
