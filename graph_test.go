package bert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/onnx"
)

// graphChange changes the graph of an exported model as exporters and optimizers do.
type graphChange func(t *testing.T, g *onnx.Graph)

// changedGraph writes m with a changed graph and reads it.
func changedGraph(t *testing.T, m *Model, o Options, changes ...graphChange) (*Model, error) {
	t.Helper()
	dir := t.TempDir()
	if err := m.Save(dir, SaveOptions{Format: checkpoint.ONNX}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.onnx")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	graph, err := onnx.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(t, &graph.Graph)
	}
	var b bytes.Buffer
	if err := onnx.Write(&b, graph); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	o.Threads = 1
	return Load(t.Context(), dir, o)
}

// renameAll replaces names in the nodes' operands.
func renameAll(g *onnx.Graph, from, to string) {
	for i := range g.Nodes {
		for j, name := range g.Nodes[i].Inputs {
			if name == from {
				g.Nodes[i].Inputs[j] = to
			}
		}
	}
}

// anonymous gives all initializers names that say nothing.
func anonymous(_ *testing.T, g *onnx.Graph) {
	for i := range g.Initializers {
		name := fmt.Sprintf("val_%d", i)
		renameAll(g, g.Initializers[i].Name, name)
		g.Initializers[i].Name = name
	}
}

// shared keeps one of equal initializers.
func shared(_ *testing.T, g *onnx.Graph) {
	first := make(map[string]string)
	g.Initializers = slices.DeleteFunc(g.Initializers, func(x onnx.Tensor) bool {
		key := fmt.Sprint(x.Type, x.Shape, x.Raw)
		if other, ok := first[key]; ok {
			renameAll(g, x.Name, other)
			return true
		}
		first[key] = x.Name
		return false
	})
}

// withoutZeroBiases drops what adds nothing: additions of zeros, and the third operand of Gemm.
func withoutZeroBiases(_ *testing.T, g *onnx.Graph) {
	zero := make(map[string]bool)
	for _, x := range g.Initializers {
		if len(x.Shape) == 1 && x.Type == onnx.Float && len(bytes.Trim(x.Raw, "\x00")) == 0 {
			zero[x.Name] = true
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n onnx.Node) bool {
		if n.OpType == "Add" && zero[n.Inputs[1]] {
			renameAll(g, n.Outputs[0], n.Inputs[0])
			for i := range g.Nodes { // an output of the graph keeps its name
				if g.Nodes[i].Outputs[0] == n.Inputs[0] && slices.ContainsFunc(g.Outputs, func(v onnx.ValueInfo) bool { return v.Name == n.Outputs[0] }) {
					g.Nodes[i].Outputs[0] = n.Outputs[0]
				}
			}
			return true
		}
		return false
	})
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.OpType == "Gemm" && zero[n.Inputs[2]] {
			n.Inputs = n.Inputs[:2]
		}
	}
}

// folded replaces the position embeddings by those of four tokens, as an export for a fixed shape does.
func folded(t *testing.T, g *onnx.Graph) {
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n onnx.Node) bool {
		if n.OpType != "Slice" {
			return false
		}
		for _, x := range g.Initializers {
			if x.Name == n.Inputs[0] {
				width := x.Shape[1]
				g.Initializers = append(g.Initializers, onnx.Tensor{Name: "onnx::Add_1", Type: x.Type, Shape: []int64{1, 4, width}, Raw: x.Raw[:4*4*width]})
			}
		}
		renameAll(g, n.Outputs[0], "onnx::Add_1")
		return true
	})
	g.Initializers = slices.DeleteFunc(g.Initializers, func(x onnx.Tensor) bool { return strings.HasSuffix(x.Name, "position_embeddings.weight") })
}

// decomposed replaces LayerNormalization by the operators that it consists of.
func decomposed(_ *testing.T, g *onnx.Graph) {
	var nodes []onnx.Node
	for i, n := range g.Nodes {
		if n.OpType != "LayerNormalization" {
			nodes = append(nodes, n)
			continue
		}
		name := func(s string) string { return fmt.Sprintf("ln%d_%s", i, s) }
		add := func(op, out string, in ...string) {
			nodes = append(nodes, onnx.Node{Name: name(op), OpType: op, Inputs: in, Outputs: []string{out}})
		}
		for _, number := range []string{"two", "eps"} {
			g.Initializers = append(g.Initializers, onnx.Tensor{Name: name(number), Type: onnx.Float, Raw: binary.LittleEndian.AppendUint32(nil, math.Float32bits(2))})
		}
		add("ReduceMean", name("mean"), n.Inputs[0])
		add("Sub", name("centred"), n.Inputs[0], name("mean"))
		add("Pow", name("square"), name("centred"), name("two"))
		add("ReduceMean", name("variance"), name("square"))
		add("Add", name("sum"), name("variance"), name("eps"))
		add("Sqrt", name("root"), name("sum"))
		add("Div", name("normal"), name("centred"), name("root"))
		add("Mul", name("scaled"), name("normal"), n.Inputs[1])
		add("Add", n.Outputs[0], name("scaled"), n.Inputs[2])
	}
	g.Nodes = nodes
}

// TestGraphsWithoutNames reads graphs whose tensors lost their names: the same bits come back.
func TestGraphsWithoutNames(t *testing.T) {
	c := smallConfig()
	for h := range heads {
		head := Head(h)
		if head == MultipleChoice {
			continue // its shapes are other ones
		}
		for name, changes := range map[string][]graphChange{
			"anonymous":   {anonymous},
			"decomposed":  {decomposed, anonymous},
			"shared":      {shared},
			"zero biases": {withoutZeroBiases},
			"all":         {withoutZeroBiases, shared, anonymous},
		} {
			t.Run(fmt.Sprint(head, " ", name), func(t *testing.T) {
				m := newTestModel(t, c, head, 1)
				for i := range m.params { // biases of zero, as of a new model
					if p := &m.params[i]; p.Init == InitZero && (strings.Contains(p.Name, "query") || p.Head && head != MaskedLM && head != PreTraining) {
						m.device.Zero(p.value)
					}
				}
				if head == NextSentence && name != "shared" && name != "zero biases" {
					// Nothing distinguishes it from a classifier.
					var e *TensorError
					if _, err := changedGraph(t, m, Options{}, changes...); !errors.As(err, &e) || e.Reason != HeadMissing {
						t.Errorf("a classifier without a name as a next-sentence classifier: %v", err)
					}
					return
				}
				back, err := changedGraph(t, m, Options{}, changes...)
				if err != nil {
					t.Fatal(err)
				}
				defer back.Close()
				sameParameters(t, name, m, back)
				if r := back.Report(); len(r.NewHead)+len(r.Missing)+len(r.LeftOver)+len(r.Assumed) > 0 {
					t.Errorf("report %+v", r)
				}
			})
		}
	}
}

// TestGraphOfFixedShape reads position embeddings that were folded to those of four tokens.
func TestGraphOfFixedShape(t *testing.T) {
	m := newTestModel(t, smallConfig(), SequenceClassification, 1)
	back, err := changedGraph(t, m, Options{}, folded)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if n := back.Config().MaxPositionEmbeddings; n != 4 || len(back.Report().Assumed) != 1 {
		t.Errorf("%d positions, %q", n, back.Report().Assumed)
	}
	for i := range m.params {
		want, got := m.host(m.params[i].value), back.host(back.params[i].value)
		if !slices.Equal(got, want[:len(got)]) {
			t.Errorf("%s differs", m.params[i].Name)
		}
	}
}

// quantized replaces the matrices of products by 8-bit integers with a scale for each output, in one of the ways of ONNX Runtime.
func quantized(way string) graphChange {
	return func(_ *testing.T, g *onnx.Graph) {
		var nodes []onnx.Node
		for i, n := range g.Nodes {
			at := slices.IndexFunc(g.Initializers, func(x onnx.Tensor) bool { return n.OpType == "MatMul" && x.Name == n.Inputs[1] })
			if at < 0 {
				nodes = append(nodes, n)
				continue
			}
			x := &g.Initializers[at]
			in, out := int(x.Shape[0]), int(x.Shape[1])
			values := make([]float32, in*out)
			for j := range values {
				values[j] = math.Float32frombits(binary.LittleEndian.Uint32(x.Raw[4*j:]))
			}
			var q, scales []byte
			steps := make([]float32, out)
			for o := range out {
				for r := range in {
					steps[o] = max(steps[o], float32(math.Abs(float64(values[r*out+o])))/127)
				}
				scales = binary.LittleEndian.AppendUint32(scales, math.Float32bits(steps[o]))
			}
			for j, v := range values {
				q = append(q, byte(int8(math.RoundToEven(float64(v/steps[j%out])))))
			}
			name := func(s string) string { return fmt.Sprintf("q%d_%s", i, s) }
			g.Initializers[at] = onnx.Tensor{Name: name("weight"), Type: onnx.Int8, Shape: x.Shape, Raw: q}
			g.Initializers = append(g.Initializers,
				onnx.Tensor{Name: name("scale"), Type: onnx.Float, Shape: []int64{int64(out)}, Raw: scales},
				onnx.Tensor{Name: name("zero"), Type: onnx.Int8, Shape: []int64{int64(out)}, Raw: make([]byte, out)})
			add := func(domain, op string, outs, ins []string, attributes ...onnx.Attribute) {
				nodes = append(nodes, onnx.Node{Name: name(op), OpType: op, Domain: domain, Inputs: ins, Outputs: outs, Attributes: attributes})
			}
			list := func(s ...string) []string { return s }
			switch way {
			case "DequantizeLinear":
				add("", "DequantizeLinear", list(name("float")), list(name("weight"), name("scale"), name("zero")), onnx.IntAttr("axis", 1))
				add("", "MatMul", n.Outputs, list(n.Inputs[0], name("float")))
			case "Cast and Mul":
				add("", "Cast", list(name("cast")), list(name("weight")), onnx.IntAttr("to", 1))
				add("", "Mul", list(name("float")), list(name("cast"), name("scale")))
				add("", "MatMul", n.Outputs, list(n.Inputs[0], name("float")))
			case "MatMulInteger":
				add("", "DynamicQuantizeLinear", list(name("x"), name("xs"), name("xz")), list(n.Inputs[0]))
				add("", "MatMulInteger", list(name("y")), list(name("x"), name("weight"), name("xz"), name("zero")))
				add("", "Cast", list(name("yf")), list(name("y")), onnx.IntAttr("to", 1))
				add("", "Mul", list(name("s")), list(name("xs"), name("scale")))
				add("", "Mul", n.Outputs, list(name("yf"), name("s")))
			case "DynamicQuantizeMatMul":
				add("com.microsoft", "DynamicQuantizeMatMul", n.Outputs, list(n.Inputs[0], name("weight"), name("scale"), name("zero")))
			}
		}
		g.Nodes = nodes
	}
}

// TestQuantizedGraphs dequantizes weights: each element is within half a step of its scale, the largest of its column over 127.
func TestQuantizedGraphs(t *testing.T) {
	m := newTestModel(t, smallConfig(), TokenClassification, 1)
	for _, way := range []string{"DequantizeLinear", "Cast and Mul", "MatMulInteger", "DynamicQuantizeMatMul"} {
		t.Run(way, func(t *testing.T) {
			back, err := changedGraph(t, m, Options{}, quantized(way))
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if notes := strings.Join(back.Report().Assumed, ""); !strings.Contains(notes, "8-bit integers") {
				t.Errorf("notes %q", notes)
			}
			differ := 0
			for i := range m.params {
				want, got := m.host(m.params[i].value), back.host(back.params[i].value)
				largest := 0.0
				for _, x := range want {
					largest = max(largest, math.Abs(float64(x)))
				}
				for j := range want {
					d := math.Abs(float64(want[j] - got[j]))
					if d > 0 {
						differ++
					}
					if d > 0.51*largest/127 {
						t.Fatalf("%s: element %d is %v, want %v", m.params[i].Name, j, got[j], want[j])
					}
				}
			}
			if differ == 0 {
				t.Error("nothing was quantized")
			}
		})
	}
}

// TestGraphsNotUnderstood names the node that is not understood, and never makes anything up.
func TestGraphsNotUnderstood(t *testing.T) {
	m := newTestModel(t, smallConfig(), TokenClassification, 1)
	for name, test := range map[string]struct {
		change graphChange
		want   string
	}{
		"4 bits": {func(_ *testing.T, g *onnx.Graph) {
			for i := range g.Nodes {
				if n := &g.Nodes[i]; n.OpType == "MatMul" && strings.Contains(n.Name, "intermediate") {
					n.OpType, n.Domain = "MatMulNBits", "com.microsoft"
					return
				}
			}
		}, "less than 8 bits are not supported"},
		"a smoothed residual": {func(t *testing.T, g *onnx.Graph) {
			quantized("MatMulInteger")(t, g)
			for i := range g.Nodes {
				if n := &g.Nodes[i]; n.OpType == "Add" && strings.HasSuffix(n.Name, "attention/output/Add") {
					width := g.Initializers[slices.IndexFunc(g.Initializers, func(x onnx.Tensor) bool { return strings.HasSuffix(x.Name, "LayerNorm.weight") })]
					g.Initializers = append(g.Initializers, onnx.Tensor{Name: "smooth", Type: onnx.Float, Shape: width.Shape, Raw: width.Raw})
					g.Nodes = slices.Insert(g.Nodes, i, onnx.Node{Name: "smooth", OpType: "Mul", Inputs: []string{n.Inputs[1], "smooth"}, Outputs: []string{"smoothed"}})
					g.Nodes[i+1].Inputs[1] = "smoothed"
					return
				}
			}
		}, "hidden states times a constant"},
	} {
		_, err := changedGraph(t, m, Options{}, test.change)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", name, err, test.want)
		}
	}
}

// FuzzGraph reads graphs of every kind: no panic, and no memory beyond the limits.
func FuzzGraph(f *testing.F) {
	m := newTestModel(f, smallConfig(), TokenClassification, 1)
	dir := f.TempDir()
	if err := m.Save(dir, SaveOptions{Format: checkpoint.ONNX}); err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		f.Fatal(err)
	}
	for _, change := range []graphChange{
		nil, anonymous, shared, withoutZeroBiases, decomposed,
		quantized("DequantizeLinear"), quantized("Cast and Mul"), quantized("MatMulInteger"), quantized("DynamicQuantizeMatMul"),
	} {
		graph, err := onnx.Read(file)
		if err != nil {
			f.Fatal(err)
		}
		if change != nil {
			change(nil, &graph.Graph)
		}
		var b bytes.Buffer
		if err := onnx.Write(&b, graph); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	if err := m.Save(dir, SaveOptions{}); err != nil {
		f.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(plans())) {
		int8, err := Load(f.Context(), dir, Options{Precision: Int8, Quantize: plans()[name]})
		if err != nil {
			f.Fatal(err)
		}
		graph := filepath.Join(f.TempDir(), "model.onnx")
		if err := errors.Join(int8.ExportONNX(graph), int8.Close()); err != nil {
			f.Fatal(err)
		}
		content, err := os.ReadFile(graph)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	path := filepath.Join(f.TempDir(), "model.onnx")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if file, err := checkpoint.Open(path); err == nil {
			file.Close()
		}
	})
}
