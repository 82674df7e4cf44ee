package sentence

import (
	"fmt"
	"math"
	"strings"
)

// Activation is a function of single numbers. The zero value leaves them as they are.
type Activation uint8

// Identity and Sigmoid are the activations that cross-encoders have. The others are rows of the table.
const (
	Identity Activation = iota
	Sigmoid
)

// activation is a row of the table of activations: a class of torch.nn without arguments.
type activation struct {
	class string
	f     func(x float64) float64
}

var activations = [...]activation{
	Identity: {"Identity", func(x float64) float64 { return x }},
	Sigmoid:  {"Sigmoid", sigmoid},

	{"CELU", func(x float64) float64 { return elu(x, 1) }},
	{"ELU", func(x float64) float64 { return elu(x, 1) }},
	{"GELU", func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }},
	{"Hardsigmoid", func(x float64) float64 { return clamp(x+3, 0, 6) / 6 }},
	{"Hardswish", func(x float64) float64 { return x * clamp(x+3, 0, 6) / 6 }},
	{"Hardtanh", func(x float64) float64 { return clamp(x, -1, 1) }},
	{"LeakyReLU", func(x float64) float64 { return math.Max(x, 0.01*x) }},
	{"LogSigmoid", func(x float64) float64 { return -softplus(-x) }},
	{"Mish", func(x float64) float64 { return x * math.Tanh(softplus(x)) }},
	{"ReLU", func(x float64) float64 { return math.Max(x, 0) }},
	{"ReLU6", func(x float64) float64 { return clamp(x, 0, 6) }},
	{"SELU", func(x float64) float64 { return 1.0507009873554805 * elu(x, 1.6732632423543772) }}, // Klambauer et al. 2017
	{"SiLU", func(x float64) float64 { return x * sigmoid(x) }},
	{"Softplus", softplus},
	{"Softsign", func(x float64) float64 { return x / (1 + math.Abs(x)) }},
	{"Tanh", math.Tanh},
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func elu(x, alpha float64) float64 {
	if x > 0 {
		return x
	}
	return alpha * math.Expm1(x)
}

// softplus is log(1+eˣ), without an overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func clamp(x, low, high float64) float64 { return math.Max(low, math.Min(high, x)) }

// Of is the activation of a number.
func (a Activation) Of(x float64) float64 { return activations[a].f(x) }

// String is the name of the class in torch.nn.
func (a Activation) String() string {
	if int(a) >= len(activations) {
		return fmt.Sprintf("Activation(%d)", a)
	}
	return activations[a].class
}

// ParseActivation reads the path of a class of torch.nn, such as torch.nn.modules.activation.Tanh.
func ParseActivation(path string) (Activation, error) {
	var names []string
	class := path[strings.LastIndexByte(path, '.')+1:]
	for i, a := range activations {
		if a.class == class && strings.HasPrefix(path, "torch.nn.") {
			return Activation(i), nil
		}
		names = append(names, a.class)
	}
	return 0, fmt.Errorf("the activation %s is not supported, only torch.nn's %s", quote(path), strings.Join(names, ", "))
}
