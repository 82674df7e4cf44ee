package sentence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
)

// settingsFiles are the names of the encoder's settings, in the order in which the library looks for them.
var settingsFiles = []string{
	"sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
	"sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
	"sentence_xlnet_config.json",
}

// vectorTask is the transformer_task of an encoder that gives hidden states, scoreTask that of a cross-encoder.
const (
	vectorTask = "feature-extraction"
	scoreTask  = "sequence-classification"
)

// readSettings reads the settings of the encoder, if it has any.
func (p *Pipeline) readSettings() error {
	for _, name := range settingsFiles {
		path := filepath.Join(p.Encoder, name)
		data, err := files.ReadFile(path, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := p.parseSettings(path, data); err != nil {
			return err
		}
		p.files = append(p.files, file{name: name, content: data})
		return nil
	}
	return nil
}

// parseSettings reads sentence_bert_config.json.
func (p *Pipeline) parseSettings(path string, data []byte) error {
	var (
		s         = settings{task: vectorTask, output: tokenEmbeddings}
		want      = vectorTask
		arguments = func(raw json.RawMessage) error { return s.parseArguments(p, path, raw) }
	)
	err := p.parse(path, data, map[string]any{
		"max_seq_length": &p.MaxSeqLength, "do_lower_case": &p.LowerCase, "transformer_task": &s.task, "module_output_name": &s.output,
		"tokenizer_args": arguments, "processor_kwargs": arguments,
		"processing_kwargs": func(raw json.RawMessage) error { return s.parseProcessing(p, path, raw) },
		"modality_config":   func(raw json.RawMessage) error { return s.parseModalities(raw) },
		// These say how the library computes, not what. The rest is of models with several vectors.
		"model_args": nil, "model_kwargs": nil, "config_args": nil, "config_kwargs": nil, "unpad_inputs": nil,
		"query_length": nil, "document_length": nil, "query_expansion": nil,
	})
	if err != nil {
		return err
	}
	if p.CrossEncoder {
		want = scoreTask
	}
	switch {
	case s.task != want:
		return &UnsupportedError{path, fmt.Sprintf("transformer_task is %s, want %s", quote(s.task), want)}
	case !p.CrossEncoder && s.output != tokenEmbeddings:
		return &UnsupportedError{path, fmt.Sprintf("module_output_name is %s, want %s", quote(s.output), tokenEmbeddings)}
	case !p.CrossEncoder && s.text != "" && s.text != "last_hidden_state":
		return &UnsupportedError{path, fmt.Sprintf("modality_config: the method's output for text is %s, want last_hidden_state", quote(s.text))}
	}
	// As the library: an argument of the tokenizer goes before max_seq_length, and one of its call before both.
	for _, n := range []int{s.modelMaxLength, s.callMaxLength} {
		if n != 0 {
			p.MaxSeqLength = n
		}
	}
	if n := p.MaxSeqLength; n < 0 || n > 0 && n < minSeqLength {
		return fmt.Errorf("%s: the longest sequence is %d, want at least %d", path, n, minSeqLength)
	}
	return nil
}

// minSeqLength has room for [CLS], a token and [SEP].
const minSeqLength = 3

// settings are what sentence_bert_config.json has beside the fields of a Pipeline.
type settings struct {
	task, output   string
	text           string // the output of the model that is taken for texts
	modelMaxLength int
	callMaxLength  int
}

// parseArguments reads the arguments of the tokenizer.
func (s *settings) parseArguments(p *Pipeline, path string, raw json.RawMessage) error {
	return jsonobject.Parse(raw, func(key string, value json.RawMessage) error {
		switch {
		case string(value) == "null" || key == "use_fast" || key == "trust_remote_code":
		case key == "model_max_length":
			return jsonobject.Field(key, value, &s.modelMaxLength)
		default:
			return p.note(path, key)
		}
		return nil
	})
}

// parseProcessing reads the arguments of the tokenizer's call, by modality.
func (s *settings) parseProcessing(p *Pipeline, path string, raw json.RawMessage) error {
	return jsonobject.Parse(raw, func(modality string, value json.RawMessage) error {
		if modality != "text" && modality != "common" || string(value) == "null" {
			return nil
		}
		return jsonobject.Parse(value, func(key string, value json.RawMessage) error {
			switch {
			case string(value) == "null" || key == "padding" || key == "return_tensors" || key == "truncation" && string(value) != "false":
			case key == "max_length":
				return jsonobject.Field(key, value, &s.callMaxLength)
			default:
				return p.note(path, key)
			}
			return nil
		})
	})
}

// parseModalities reads which output of the model is taken for texts.
func (s *settings) parseModalities(raw json.RawMessage) error {
	return jsonobject.Parse(raw, func(modality string, value json.RawMessage) error {
		if modality != "text" {
			return nil
		}
		return jsonobject.Parse(value, func(key string, value json.RawMessage) error {
			if key != "method_output_name" || string(value) == "null" {
				return nil
			}
			if len(value) > 0 && value[0] == '[' { // a path, such as hidden_states and a number
				s.text = string(value)
				return nil
			}
			return jsonobject.Field(key, value, &s.text)
		})
	})
}

// note says that a key is ignored.
func (p *Pipeline) note(path, key string) error {
	p.Notes = append(p.Notes, fmt.Sprintf("%s has the key %s, which is ignored", path, quote(key)))
	if len(p.Notes) > maxNotes {
		return fmt.Errorf("%s and more keys that are not known", quote(key))
	}
	return nil
}

// The values of model_type. A folder without one is of a sentence transformer.
const (
	sentenceTransformer = "SentenceTransformer"
	crossEncoder        = "CrossEncoder"
)

// readModel reads config_sentence_transformers.json, if there is one.
func (p *Pipeline) readModel() error {
	path := filepath.Join(p.Dir, modelFile)
	data, err := files.ReadFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.files = append(p.files, file{name: modelFile, content: data})
	return p.parseModel(path, data)
}

// parseModel reads config_sentence_transformers.json.
func (p *Pipeline) parseModel(path string, data []byte) error {
	modelType, similarity := sentenceTransformer, Cosine.String()
	err := p.parse(path, data, map[string]any{
		"model_type": &modelType, "similarity_fn_name": &similarity, "truncate_dim": &p.TruncateDim, "activation_fn": &p.score,
		"default_prompt_name": &p.DefaultPrompt, "prompts": p.parsePrompts,
		// These say where the model comes from, or how the library computes.
		"__version__": nil, "requirements": nil, "keep_in_fp32_modules": nil,
	})
	if err != nil {
		return err
	}
	switch modelType {
	case sentenceTransformer:
	case crossEncoder:
		p.CrossEncoder = true
	default:
		return &UnsupportedError{path, fmt.Sprintf("a model of type %s, want %s or %s", quote(modelType), sentenceTransformer, crossEncoder)}
	}
	if p.Similarity, err = ParseSimilarity(similarity); err != nil {
		// As the library, which has others for models of other types.
		p.Notes = append(p.Notes, fmt.Sprintf("%s: similarity_fn_name is %s, which is ignored", path, quote(similarity)))
	}
	if p.TruncateDim < 0 {
		return fmt.Errorf("%s: truncate_dim is %d, want at least 1", path, p.TruncateDim)
	}
	has := func(prompt Prompt) bool { return prompt.Name == p.DefaultPrompt }
	if p.DefaultPrompt != "" && !slices.ContainsFunc(p.Prompts, has) {
		if p.DefaultPrompt != "query" && p.DefaultPrompt != "document" { // which the library always has, and empty
			return fmt.Errorf("%s: default_prompt_name is %s, which is none of prompts", path, quote(p.DefaultPrompt))
		}
		p.DefaultPrompt = ""
	}
	return nil
}

func (p *Pipeline) parsePrompts(raw json.RawMessage) error {
	return jsonobject.Parse(raw, func(key string, value json.RawMessage) error {
		if len(p.Prompts) == maxPrompts {
			return fmt.Errorf("more than %d prompts", maxPrompts)
		}
		prompt := Prompt{Name: strings.Clone(key)}
		if string(value) != "null" {
			if err := jsonobject.Field(key, value, &prompt.Text); err != nil {
				return err
			}
		}
		p.Prompts = append(p.Prompts, prompt)
		return nil
	})
}

// CrossEncoder is the activation of the score of a cross-encoder with one label, and whether a model is a cross-encoder at all.
// extra are the further keys of its config.json, and p the pipeline of its folder, nil if there is none. A classifier without the
// keys of sentence-transformers is no cross-encoder: its values are what it says.
//
// The keys are activation_fn of config_sentence_transformers.json, sentence_transformers.activation_fn of config.json and, in
// releases before 4.0, sbert_ce_default_activation_function. Without any of them the activation is a sigmoid.
func CrossEncoder(extra map[string]json.RawMessage, p *Pipeline) (a Activation, ok bool, err error) {
	var (
		path    string
		section = extra["sentence_transformers"]
		old     = extra["sbert_ce_default_activation_function"]
		set     = func(raw json.RawMessage) bool { return raw != nil && string(raw) != "null" }
	)
	if p != nil && p.CrossEncoder {
		path, ok = p.score, true
	}
	if set(section) {
		ok = true
		named := false
		err := jsonobject.Parse(section, func(key string, value json.RawMessage) error {
			if key != "activation_fn" || path != "" {
				return nil
			}
			named = true
			if !set(value) {
				return nil
			}
			return jsonobject.Field(key, value, &path)
		})
		if err != nil {
			return 0, true, fmt.Errorf("sentence_transformers: %w", err)
		}
		if named { // as in the library, the older key no longer counts
			old = nil
		}
	}
	if set(old) {
		ok = true
		if path == "" {
			if err := jsonobject.Field("sbert_ce_default_activation_function", old, &path); err != nil {
				return 0, true, err
			}
		}
	}
	switch {
	case !ok:
		return Identity, false, nil
	case path == "":
		return Sigmoid, true, nil
	}
	a, err = ParseActivation(path)
	return a, true, err
}
