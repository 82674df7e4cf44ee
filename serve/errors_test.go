package serve

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// badCase is a request that is refused, with the status and a part of the body.
type badCase struct {
	models string // with blanks between them
	method string
	path   string
	body   string
	status int
	want   string
}

var long = strings.Repeat("joy ", 40)

var bad = []badCase{
	{"encoder", "POST", "/embed", `{"inputs":[]}`, 400, `"error_type":"Empty"`},
	{"encoder", "POST", "/embed", `{"inputs":`, 400, `"error_type":"Validation"`},
	{"encoder", "POST", "/embed", `{"inputs":[9999]}`, 422, `"error_type":"Tokenizer"`},
	{"encoder", "POST", "/embed", `{"inputs":"` + long + `","truncate":false}`, 422, `"error_type":"Validation"`},
	{"encoder", "POST", "/embed", `{"inputs":"a","dimensions":4}`, 400, `Matryoshka`},
	{"encoder", "POST", "/embed", `{"inputs":"a","prompt_name":"nobody"}`, 400, `nobody`},
	{"encoder", "POST", "/predict", `{"inputs":"a"}`, 424, `"error_type":"Backend"`},
	{"classifier", "POST", "/rerank", `{"query":"q","texts":["a"]}`, 424, `"error_type":"Backend"`},
	{"encoder", "POST", "/rerank", `{"query":"q","documents":["a"]}`, 400, `"type":"wrong_task"`},
	{"reranker", "POST", "/rerank", `{"query":"q"}`, 400, "`texts`: is missing"},
	{"reranker", "POST", "/rerank", `{"query":"q","texts":[]}`, 400, `"error_type":"Empty"`},
	{"reranker", "POST", "/v1/rerank", `{"query":"q","documents":[{"title":"a"}]}`, 400, "`documents[0].text`: is missing"},
	{"encoder", "POST", "/embed_sparse", `{"inputs":"a"}`, 424, `"error_type":"Backend"`},
	{"encoder", "POST", "/similarity", `{"inputs":{"source_sentence":"a","sentences":[]}}`, 400, `"error_type":"Empty"`},
	{"encoder", "POST", "/tokenize", `{"inputs":["a",1]}`, 400, "`inputs[1]`: want a string"},
	{"encoder", "POST", "/decode", `{"ids":[123456]}`, 422, `not in the vocabulary`},
	{"encoder", "POST", "/decode", `{"ids":["a"]}`, 400, `want token ids`},
	{"encoder", "POST", "/vertex", `{"instances":[{"inputs":"a"},{"inputs":3}]}`, 400, `input 1: `},
	{"encoder", "GET", "/info?model=nobody", ``, 404, `"error_type":"Validation"`},
	{"encoder", "POST", "/v1/embeddings", `{"model":"encoder","input":[1,2,3]}`, 400, `check_embedding_ctx_length=False`},
	{"encoder", "POST", "/v1/embeddings", `{"model":"text-embedding-3-small","input":"a"}`, 404, `"code":"model_not_found"`},
	{"encoder", "POST", "/v1/embeddings", `{"input":["a",""]}`, 400, `"param":"input"`},
	{"encoder", "POST", "/v1/embeddings", `{"input":"` + long + `"}`, 422, `"code":"context_length_exceeded"`},
	{"encoder", "POST", "/v1/embeddings", `{"input":"a","encoding_format":"int8"}`, 400, `"param":"encoding_format"`},
	{"encoder", "POST", "/v1/embeddings", `{"input":"a","dimensions":3}`, 400, `"param":"dimensions"`},
	{"encoder", "GET", "/v1/models/org/nobody", ``, 404, `"code":"model_not_found"`},
	{"encoder", "POST", "/", `{"model":"nobody","inputs":"a"}`, 404, `"error":"there is no model`},
	{"encoder", "POST", "/models/nobody", `{"inputs":"a"}`, 404, `"error":"there is no model`},
	{"encoder", "POST", "/models/encoder/pipeline/translation", `{"inputs":"a"}`, 404, `there is no task`},
	{"encoder", "POST", "/models/encoder/pipeline/fill-mask", `{"inputs":"a"}`, 400, `"error_type":"wrong_task"`},
	{"tagger", "POST", "/", `{"inputs":"a","parameters":{"aggregation_strategy":"best"}}`, 400, "`parameters.aggregation_strategy`"},
	{"tagger", "POST", "/", `{"inputs":"a","parameters":{"aggregation_strategy":"none","stride":2}}`, 400, "`parameters.stride`"},
	{"tagger", "POST", "/", `{"inputs":"a","parameters":{"stride":200}}`, 422, `stride`},
	{"tagger", "POST", "/", `{"inputs":"` + long + `","parameters":{"truncate":false}}`, 422, `42 tokens, want at most 32`},
	{"reader", "POST", "/", `{"inputs":{"question":"","context":"a"}}`, 400, "`inputs.question`: cannot be empty"},
	{"reader", "POST", "/", `{"inputs":{"question":"` + long + `","context":"a"}}`, 422, `"error"`},
	{"masked", "POST", "/", `{"inputs":"a film"}`, 422, `[MASK]`},
	{"masked", "POST", "/", `{"inputs":"` + strings.Repeat("[MASK] ", 20) + `","parameters":{"top_k":900}}`, 422, `want at most 10000 in all`},
	{"encoder", "POST", "/tokenize", `{"inputs":"` + strings.Repeat("joy ", 2100) + `"}`, 422, `more than 8000 characters`},
	{"masked", "POST", "/", `{"inputs":"[MASK]","parameters":{"targets":[]}}`, 400, "`parameters.targets`"},
	{"nli", "POST", "/models/nli/pipeline/zero-shot-classification", `{"inputs":"a"}`, 400, "`parameters.candidate_labels`"},
	{"nli", "POST", "/", `{"inputs":"a","parameters":{"candidate_labels":["x","x"]}}`, 400, "`parameters.candidate_labels[1]`"},
	{"nli", "POST", "/", `{"inputs":"a","parameters":{"candidate_labels":["x"],"hypothesis_template":"so"}}`, 400, "`parameters.hypothesis_template`"},
	{"classifier", "POST", "/", `{"inputs":"a","parameters":{"candidate_labels":["x"]}}`, 400, `entailment`},
	{"chooser", "POST", "/multiple_choice", `{"prompt":"a","choices":["b"]}`, 400, "`choices`: want at least two"},
	{"encoder", "GET", "/v2/models/nobody", ``, 404, `{"error":"there is no model`},
	{"encoder", "GET", "/v2/models/encoder/versions/2", ``, 404, `has no version`},
	{"encoder", "POST", "/v2/models/encoder/infer", `{"inputs":[]}`, 400, `cannot be empty`},
	{"encoder", "POST", "/v2/models/encoder/infer", `{"inputs":[{"name":"text","shape":[2],"datatype":"BYTES","data":["a"]}]}`, 400, "`inputs[0].shape`"},
	{"encoder", "POST", "/v2/models/encoder/infer", `{"inputs":[{"name":"words","shape":[1],"datatype":"BYTES","data":["a"]}]}`, 400, `want text`},
	{"encoder", "POST", "/v2/models/encoder/infer", `{"inputs":[{"name":"text","shape":[1],"datatype":"FP64","data":[1]}]}`, 400, `want BYTES`},
	{"encoder", "POST", "/v2/models/encoder/infer", `{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["a"]}],"outputs":[{"name":"x"}]}`, 400, `want \"embedding\"`},
	{"encoder", "POST", "/v2/models/encoder/infer", `{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":9}}]}`, 400, `binary_data_size`},
	{"chooser", "POST", "/v2/models/chooser/infer", `{"inputs":[]}`, 400, `this protocol has no way`},
	{"encoder", "POST", "/api/embed", `{"model":"nobody","input":"a"}`, 404, `{"error":"there is no model`},
	{"encoder", "POST", "/api/embed", `{"model":"encoder","input":"` + long + `","truncate":false}`, 422, `{"error":`},
	{"encoder", "POST", "/api/embed", `{"model":"encoder","input":3}`, 400, "`input`"},
	{"encoder", "POST", "/encode", `{"id":1}`, 400, "`texts`: is missing"},
	{"encoder", "POST", "/vectors", `{}`, 400, "`text`: is missing"},
}

// badCases are those, and requests of the routes that have no golden, for TestTraffic.
func badCases() []goldenCase {
	var out []goldenCase
	for _, x := range bad {
		path, _, _ := strings.Cut(x.path, "?")
		out = append(out, goldenCase{Name: x.path, Models: strings.Fields(x.models), Method: x.method, Path: path, Request: json.RawMessage(x.body)})
	}
	for _, x := range [][4]string{
		{"encoder", "GET", "/info", ""}, {"classifier", "GET", "/info", ""}, {"reranker", "GET", "/info", ""}, {"reader", "GET", "/info", ""},
		{"encoder", "POST", "/v1/embeddings", `{"input":["a"],"encoding_format":"base64"}`},
		{"encoder", "GET", "/v1/models", ""}, {"encoder", "GET", "/models", ""}, {"encoder", "GET", "/v1/models/encoder", ""},
		{"encoder", "GET", "/v2", ""}, {"encoder", "GET", "/v2/models/encoder", ""}, {"reader", "GET", "/v2/models/reader/versions/1", ""},
		{"masked", "GET", "/v2/models/masked/ready", ""}, {"tagger", "GET", "/v2/models/tagger/config", ""}, {"encoder", "POST", "/v2/repository/index", "{}"},
		{"encoder", "POST", "/v2/models/encoder/infer", `{"id":"7","inputs":[{"name":"text","shape":[2,1],"datatype":"BYTES","data":[["a"],["b"]]}]}`},
		{"classifier", "POST", "/v2/models/classifier/versions/1/infer", `{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["a"]},{"name":"text_pair","shape":[1],"datatype":"BYTES","data":["b"]}],"outputs":[{"name":"label"},{"name":"scores"}]}`},
		{"tagger", "POST", "/v2/models/tagger/infer", `{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["a"]}]}`},
		{"reader", "POST", "/v2/models/reader/infer", `{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["who"]},{"name":"text_pair","shape":[1],"datatype":"BYTES","data":["ana lives in paris"]}]}`},
		{"masked", "POST", "/v2/models/masked/infer", `{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["a [MASK]"]}]}`},
		{"encoder", "POST", "/api/embed", `{"model":"encoder:latest","input":["a","b"]}`}, {"encoder", "POST", "/api/embed", `{"model":"encoder"}`},
		{"encoder", "POST", "/api/embeddings", `{"model":"encoder","prompt":"a"}`}, {"encoder", "POST", "/api/show", `{"model":"encoder"}`},
		{"encoder", "GET", "/api/tags", ""}, {"encoder", "GET", "/api/ps", ""}, {"encoder", "GET", "/api/version", ""},
		{"encoder", "POST", "/encode", `{"id":1,"texts":["a",["b","c"]],"is_tokenized":false}`}, {"encoder", "POST", "/vectors/", `{"text":"a","config":{}}`},
		{"encoder", "POST", "/vectors", `{"text":"a"}`}, {"encoder", "GET", "/meta", ""}, {"encoder", "GET", "/.well-known/ready", ""},
		{"reranker", "POST", "/", `{"query":"q","texts":["a","b"]}`}, {"encoder", "GET", "/ping", ""}, {"encoder", "GET", "/health", ""},
		{"encoder", "GET", "/v2/health/live", ""}, {"encoder", "GET", "/v2/health/ready", ""}, {"encoder", "GET", "/.well-known/live", ""}, {"encoder", "GET", "/api-doc/openapi.json", ""},
	} {
		out = append(out, goldenCase{Name: x[2], Models: []string{x[0]}, Method: x[1], Path: x[2], Request: json.RawMessage(x[3])})
	}
	return out
}

// TestDialectErrors checks what each dialect says of bad requests.
func TestDialectErrors(t *testing.T) {
	all := servers{}
	for _, x := range bad {
		s := all.of(t, strings.Fields(x.models))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(x.method, x.path, bytes.NewReader([]byte(x.body))))
		if w.Code != x.status || !strings.Contains(w.Body.String(), x.want) {
			t.Errorf("%s %s %.100s: %d %s, want %d with %s", x.method, x.path, x.body, w.Code, w.Body, x.status, x.want)
		}
	}
}
