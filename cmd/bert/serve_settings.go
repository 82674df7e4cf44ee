package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/go-bert/bert/internal/files"
)

// teiVariables are the variables of text-embeddings-inference that a flag takes where it has none of its own. HOSTNAME is not among
// them: containers have it set to their names.
var teiVariables = map[string]string{
	"model": "MODEL_ID", "served-model-name": "SERVED_MODEL_NAME", "port": "PORT", "pooling": "POOLING", "precision": "DTYPE",
	"truncate": "AUTO_TRUNCATE", "max-concurrent-requests": "MAX_CONCURRENT_REQUESTS", "max-batch-tokens": "MAX_BATCH_TOKENS",
	"max-client-batch-size": "MAX_CLIENT_BATCH_SIZE", "payload-limit": "PAYLOAD_LIMIT", "api-key": "API_KEY", "log-format": "JSON_OUTPUT",
	"cors-allow-origin": "CORS_ALLOW_ORIGIN",
}

// teiValues are what values of these variables mean where it isn't the flag's own word.
var teiValues = map[string]map[string]string{
	"truncate":   {"true": "right", "false": "error"},
	"log-format": {"true": "json", "false": "text"},
	"precision":  {"bfloat16": "bf16"},
}

// modeFlags are those that say what to do in place of serving, and where settings are: no settings.
var modeFlags = []string{"check", "explain-request", "health", "print-config", "config-file", "help", "quiet", "verbose"}

// secretFlags have values that are shown to nobody.
var secretFlags = []string{"api-key"}

const masked = "***"

// settings are the flags that may also be set by the environment and a file.
func settings(cmd *cobra.Command) []*pflag.Flag {
	return slices.DeleteFunc(flagsOf(cmd), func(f *pflag.Flag) bool { return slices.Contains(modeFlags, f.Name) })
}

// settle gives flags that were not given the values of the environment, of the form NAME=value, or of --config-file, in that order.
func settle(cmd *cobra.Command, environment []string) error {
	env := make(map[string]string)
	for _, v := range environment {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	config := cmd.Flags().Lookup("config-file")
	if value := env[variable(config)]; value != "" && !config.Changed {
		if err := config.Value.Set(value); err != nil {
			return err
		}
	}
	file, err := readSettings(config.Value.String(), cmd)
	if err != nil {
		return err
	}
	for _, f := range settings(cmd) {
		if f.Changed {
			continue
		}
		var (
			source string
			values []string
		)
		if value := env[variable(f)]; value != "" { // an empty one is none, as compose files have them
			source, values = variable(f), valuesOf(f, value)
		} else if name := teiVariables[f.Name]; name != "" && env[name] != "" {
			value := env[name]
			if own, ok := teiValues[f.Name][strings.ToLower(value)]; ok {
				value = own
			}
			source, values = name, valuesOf(f, value)
		} else if list, ok := file[f.Name]; ok {
			source, values = config.Value.String()+": "+f.Name, list
		}
		for _, value := range values {
			if err := cmd.Flags().Set(f.Name, value); err != nil {
				return settingError(cmd, source, err)
			}
		}
	}
	return nil
}

// variable is the flag's in the environment.
func variable(f *pflag.Flag) string {
	return "BERT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// valuesOf are the values of a variable: of a flag that may be repeated, several between commas.
func valuesOf(f *pflag.Flag, value string) []string {
	if f.Value.Type() != "stringArray" {
		return []string{value}
	}
	var list []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// settingError is a mistake in a value, with the place that it comes from in place of the flag.
func settingError(cmd *cobra.Command, source string, err error) error {
	text := flagError(cmd, err).Error()
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		text = strings.TrimPrefix(text, "--"+invalid.GetFlag().Name+" ")
	}
	return usagef("%s %s", source, text)
}

// maxSettings bounds the file of settings.
const maxSettings = 1 << 20

// readSettings reads the file of settings, by flag; nothing without a file. A key is the name of a flag, with hyphens or underscores.
func readSettings(path string, cmd *cobra.Command) (map[string][]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := files.ReadFile(path, maxSettings)
	if err != nil {
		return nil, files.PathError(err)
	}
	var content map[string]json.RawMessage
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("%s: %w: want a JSON object of flags", path, err)
	}
	known := settings(cmd)
	all := make(map[string][]string)
	for _, key := range slices.Sorted(maps.Keys(content)) {
		name := string(hyphens(nil, key))
		i := slices.IndexFunc(known, func(f *pflag.Flag) bool { return f.Name == name })
		if i < 0 {
			hint := cmd.CommandPath() + " --help all lists the flags, which are the keys"
			if best := resembles(cmd, name); best != "" {
				hint = "did you mean " + best + "?"
			}
			return nil, fmt.Errorf("%s: there is no setting %q: %s", path, key, hint)
		}
		if all[name] != nil {
			return nil, fmt.Errorf("%s: the setting %s stands there twice", path, name)
		}
		values, err := jsonValues(content[key])
		if err == nil && len(values) > 1 && !repeatable(known[i]) {
			err = errors.New("a list, want one value")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s is %w", path, key, err)
		}
		all[name] = values
	}
	return all, nil
}

// repeatable says that a flag takes several values.
func repeatable(f *pflag.Flag) bool {
	return f.Value.Type() == "stringArray" || f.Value.Type() == "stringSlice"
}

// jsonValues are the values of a setting as the command line would have them.
func jsonValues(text json.RawMessage) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	list, many := value.([]any)
	if !many {
		list = []any{value}
	}
	values := []string{}
	for _, v := range list {
		switch v.(type) {
		case string, json.Number, bool:
			values = append(values, fmt.Sprint(v))
		default:
			return nil, errors.New("neither text, number, true, false nor a list of these")
		}
	}
	return values, nil
}

// printConfig prints all settings in the form of --config-file.
func printConfig(w io.Writer, cmd *cobra.Command) error {
	var b bytes.Buffer
	b.WriteString("{\n")
	list := settings(cmd)
	for i, f := range list {
		var value any = f.Value.String()
		if many, ok := f.Value.(pflag.SliceValue); ok {
			value = append([]string{}, many.GetSlice()...)
		}
		switch f.Value.Type() {
		case "bool", "int", "int64":
			value = json.RawMessage(f.Value.String())
		}
		if slices.Contains(secretFlags, f.Name) {
			hidden := []string{}
			for range value.([]string) {
				hidden = append(hidden, masked)
			}
			value = hidden
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		end := ",\n"
		if i == len(list)-1 {
			end = "\n"
		}
		fmt.Fprintf(&b, "  %q: %s%s", f.Name, text, end)
	}
	b.WriteString("}\n")
	return writeOut(w, b.Bytes())
}
