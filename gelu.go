package bert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-bert/bert/checkpoint"
	"github.com/go-bert/bert/internal/compute"
)

// GELU says what a configuration means by hidden_act "gelu". Its text is auto, erf or tanh.
//
// Hugging Face's tools compute it by the error function (transformers, activations.py). google-research/bert does so until
// February 2019 and by tanh's approximation afterwards (modeling.py, gelu), under the same name.
type GELU uint8

const (
	// GELUByOrigin is GELUTanh for a TensorFlow checkpoint under google-research/bert's names with its bert_config.json, and
	// GELUErf for all others.
	GELUByOrigin GELU = iota
	// GELUErf is x·Φ(x), by the error function.
	GELUErf
	// GELUTanh is the approximation by tanh (Hendrycks and Gimpel 2016, arXiv:1606.08415, §2), which Hugging Face's
	// configurations call gelu_new.
	GELUTanh
)

var geluNames = [...]string{GELUByOrigin: "auto", GELUErf: "erf", GELUTanh: "tanh"}

// String is auto, erf or tanh.
func (g GELU) String() string {
	if int(g) < len(geluNames) {
		return geluNames[g]
	}
	return fmt.Sprintf("GELU(%d)", uint8(g))
}

// ParseGELU is the reverse of String.
func ParseGELU(name string) (GELU, error) {
	if i := slices.Index(geluNames[:], name); i >= 0 {
		return GELU(i), nil
	}
	return 0, fmt.Errorf("unknown form of gelu %q: want one of %s", name, strings.Join(geluNames[:], ", "))
}

// MarshalText is String; an unknown form is an error.
func (g GELU) MarshalText() ([]byte, error) {
	if int(g) >= len(geluNames) {
		return nil, fmt.Errorf("unknown form of gelu %d", uint8(g))
	}
	return []byte(g.String()), nil
}

// UnmarshalText is ParseGELU.
func (g *GELU) UnmarshalText(text []byte) (err error) {
	*g, err = ParseGELU(string(text))
	return err
}

const (
	geluErf  = "gelu"
	geluTanh = "gelu_new"
	// geluKey is the key of a bert_config.json of ours that says that its "gelu" is by the error function.
	geluKey = "gelu_form"
)

// resolveGELU makes hidden_act what g or the origin of the configuration and the weights says.
func (c *Config) resolveGELU(g GELU, origin origin) (note string) {
	marked := string(c.Extra[geluKey]) == `"erf"`
	c.dropExtra(geluKey)
	if c.HiddenAct != geluErf && c.HiddenAct != "gelu_python" {
		if g == GELUErf && activations[c.HiddenAct] == compute.GELUTanh {
			c.HiddenAct = geluErf
		}
		return ""
	}
	switch {
	case g == GELUTanh:
		c.HiddenAct = geluTanh
	case g == GELUByOrigin && origin.google() && !marked:
		c.HiddenAct = geluTanh
		return "hidden_act gelu is taken as tanh's approximation, as google-research/bert computes it since February 2019; a model of another origin may need the error function"
	}
	return ""
}

// forGoogle names the activation as google-research/bert does, which knows tanh's approximation alone, as gelu.
func (c *Config) forGoogle() error {
	if c.PrunedHeads != nil {
		return errors.New("google-research/bert has no place for layers with different numbers of heads, and this model's were pruned")
	}
	switch activations[c.HiddenAct] {
	case compute.GELUTanh:
		c.HiddenAct = geluErf
	case compute.GELU:
		c.HiddenAct = geluErf
		return c.setExtra(geluKey, GELUErf)
	}
	return nil
}

// origin is where a model comes from.
type origin struct {
	config string // the name of its configuration's file
	names  bool   // tensors bear google-research/bert's, and not Keras's, as those of programs of other people
	format checkpoint.Format
}

func (o origin) google() bool {
	return o.config == googleConfigName && o.names && o.format == checkpoint.TensorFlow
}
