package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
)

// vectorsOf are those of texts by /embed.
func vectorsOf(t *testing.T, s *Server, body string) (v [][]float32) {
	t.Helper()
	w := post(t, s, "/embed", body)
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	return v
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// TestKServe asks for the same vectors in JSON and in binary, both ways.
func TestKServe(t *testing.T) {
	s := smallServer(t, Options{}, "encoder", "classifier", "reader", "tagger")
	want := slices.Concat(vectorsOf(t, s, `{"inputs":["the film","é bad"]}`)...)
	type output struct {
		Name, Datatype string
		Shape          []int
		Data           json.RawMessage
		Parameters     struct {
			Size int `json:"binary_data_size"`
		}
	}
	ask := func(path, header string, elements []byte) (outputs []output, rest []byte) {
		t.Helper()
		q := httptest.NewRequest("POST", path, bytes.NewReader(append([]byte(header), elements...)))
		if elements != nil {
			q.Header.Set("Inference-Header-Content-Length", strconv.Itoa(len(header)))
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, q)
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		body := w.Body.Bytes()
		if n := w.Header().Get("Inference-Header-Content-Length"); n != "" {
			length, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			body, rest = body[:length], body[length:]
		}
		var answer struct {
			ID, Model_name string
			Outputs        []output
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.ID != "7" {
			t.Fatalf("%s %v", body, err)
		}
		return answer.Outputs, rest
	}
	var elements []byte
	for _, text := range []string{"the film", "é bad"} {
		elements = append(binary.LittleEndian.AppendUint32(elements, uint32(len(text))), text...)
	}
	jsonInput := `{"name":"text","shape":[2,1],"datatype":"BYTES","data":[["the film"],["é bad"]]}`
	binaryInput := fmt.Sprintf(`{"name":"text","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":%d}}`, len(elements))

	outputs, _ := ask("/v2/models/encoder/infer", `{"id":"7","inputs":[`+jsonInput+`],"outputs":[{"name":"embedding"}]}`, nil)
	var got []float32
	if err := json.Unmarshal(outputs[0].Data, &got); err != nil || len(outputs) != 1 || !slices.Equal(got, want) || !slices.Equal(outputs[0].Shape, []int{2, 12}) {
		t.Errorf("%+v %v, want %v", outputs, err, want)
	}
	outputs, rest := ask("/v2/models/encoder/versions/1/infer", `{"id":"7","parameters":{"binary_data_output":true},"inputs":[`+binaryInput+`]}`, elements)
	if len(outputs) != 2 || outputs[0].Parameters.Size != 4*len(want) || !slices.Equal(floats(rest[:4*len(want)]), want) {
		t.Errorf("%+v", outputs)
	}
	if tokens := rest[4*len(want):]; outputs[1].Datatype != "INT64" || binary.LittleEndian.Uint64(tokens) != 4 || binary.LittleEndian.Uint64(tokens[8:]) != 4 {
		t.Errorf("%+v % x", outputs[1], tokens)
	}
	outputs, rest = ask("/v2/models/classifier/infer", `{"id":"7","inputs":[`+binaryInput+`],"outputs":[{"name":"scores","parameters":{"binary_data":false}},{"name":"label","parameters":{"binary_data":true}}]}`, elements)
	var scores []float32
	if err := json.Unmarshal(outputs[0].Data, &scores); err != nil || len(scores) != 6 || outputs[1].Parameters.Size != len(rest) || string(rest[4:7]) != "joy" {
		t.Errorf("%+v %q %v", outputs, rest, err)
	}
}

// TestVectorsAlike asks several dialects for the vector of one text.
func TestVectorsAlike(t *testing.T) {
	s := smallServer(t, Options{TokenIDs: true}, "encoder")
	want := vectorsOf(t, s, `{"inputs":["the film"]}`)[0]
	var openai struct {
		Data []struct{ Embedding string }
	}
	w := post(t, s, "/v1/embeddings", `{"input":"the film","encoding_format":"base64"}`)
	if err := json.Unmarshal(w.Body.Bytes(), &openai); err != nil || len(openai.Data) != 1 {
		t.Fatalf("%s %v", w.Body, err)
	}
	raw, err := base64.StdEncoding.DecodeString(openai.Data[0].Embedding)
	if err != nil || !slices.Equal(floats(raw), want) {
		t.Errorf("base64: %v, want %v", floats(raw), want)
	}
	var ids [][]struct{ ID int }
	if err := json.Unmarshal(post(t, s, "/tokenize", `{"inputs":"the film"}`).Body.Bytes(), &ids); err != nil {
		t.Fatal(err)
	}
	var list []int
	for _, id := range ids[0] {
		list = append(list, id.ID)
	}
	body, err := json.Marshal(map[string]any{"input": list})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ path, body string }{
		{"/v1/embeddings", `{"input":"the film"}`}, {"/v1/embeddings", string(body)}, {"/api/embed", `{"model":"encoder:latest","input":"the film"}`},
		{"/api/embeddings", `{"model":"encoder","prompt":"the film"}`}, {"/vectors", `{"text":"the film"}`}, {"/encode", `{"texts":["the film"]}`}, {"/", `{"inputs":"the film"}`},
	} {
		w := post(t, s, x.path, x.body)
		vector := appendVector(nil, want)
		if w.Code != 200 || !bytes.Contains(w.Body.Bytes(), vector) {
			t.Errorf("%s: %d %s, want %s", x.path, w.Code, w.Body, vector)
		}
	}
}
