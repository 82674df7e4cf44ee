package glue

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"

	"github.com/go-bert/bert/internal/files"
)

// maxResults bounds glue_results.json.
const maxResults = 1 << 20

// ReadSummary reads glue_results.json from the folder of a run. Where there is none the error is an fs.ErrNotExist.
func ReadSummary(dir string) (*Summary, error) {
	path := filepath.Join(dir, ResultsFile)
	content, err := files.ReadFile(path, maxResults)
	if err != nil {
		return nil, err
	}
	s := new(Summary)
	if err := json.Unmarshal(content, s); err != nil {
		return nil, fmt.Errorf("%s: not the results of a run of GLUE", path)
	}
	return s, nil
}

// UnmarshalJSON reads what MarshalJSON writes: null is NaN.
func (s *Summary) UnmarshalJSON(content []byte) error {
	type plain Summary
	v := struct {
		*plain
		Score *float64 `json:"score"`
		Paper *float64 `json:"paper_average"`
	}{plain: (*plain)(s)}
	if err := json.Unmarshal(content, &v); err != nil {
		return err
	}
	s.Score, s.Paper = orNaN(v.Score), orNaN(v.Paper)
	return nil
}

// UnmarshalJSON reads what MarshalJSON writes: null is NaN.
func (r *Row) UnmarshalJSON(content []byte) error {
	type plain Row
	v := struct {
		*plain
		Score *float64 `json:"score"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(content, &v); err != nil {
		return err
	}
	r.Score = orNaN(v.Score)
	return nil
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}
