package bert

import (
	"fmt"
	"strings"
)

// ProblemType is what a SequenceClassification head is for. Its text is config.json's problem_type.
type ProblemType uint8

const (
	// ProblemByLabels leaves it to the labels: one is a regression, several are SingleLabelClassification.
	ProblemByLabels ProblemType = iota
	// SingleLabelClassification is one class of several.
	SingleLabelClassification
	// MultiLabelClassification is any number of classes at once.
	MultiLabelClassification
	// RegressionProblem is a number.
	RegressionProblem
)

// problemInfo is a row of the table of types of problems.
type problemInfo struct {
	name   string
	losses []lossKind
}

var problems = [...]problemInfo{
	ProblemByLabels:           {},
	SingleLabelClassification: {"single_label_classification", []lossKind{classLoss}},
	MultiLabelClassification:  {"multi_label_classification", []lossKind{multiLabelLoss}},
	RegressionProblem:         {"regression", []lossKind{regressionLoss}},
}

// String is the value of problem_type, "" for ProblemByLabels.
func (p ProblemType) String() string {
	if int(p) < len(problems) {
		return problems[p].name
	}
	return fmt.Sprintf("ProblemType(%d)", uint8(p))
}

// ParseProblemType is the reverse of String.
func ParseProblemType(name string) (ProblemType, error) {
	for p := range problems {
		if problems[p].name == name {
			return ProblemType(p), nil
		}
	}
	return 0, fmt.Errorf("unknown problem type %q: want one of %s", name, problemNames())
}

// problemNames lists the types that have a name.
func problemNames() string {
	var names []string
	for _, p := range problems[1:] {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// MarshalText is String; an unknown type is an error.
func (p ProblemType) MarshalText() ([]byte, error) {
	if int(p) >= len(problems) {
		return nil, fmt.Errorf("unknown problem type %d", uint8(p))
	}
	return []byte(p.String()), nil
}

// UnmarshalText is ParseProblemType.
func (p *ProblemType) UnmarshalText(text []byte) (err error) {
	*p, err = ParseProblemType(string(text))
	return err
}

// Problem is what a SequenceClassification head of the configuration is for: ProblemType, or what its labels say.
func (c *Config) Problem() ProblemType {
	switch {
	case c.ProblemType != ProblemByLabels:
		return c.ProblemType
	case len(c.Labels) == 1:
		return RegressionProblem
	default:
		return SingleLabelClassification
	}
}
