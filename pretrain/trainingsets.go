package pretrain

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/jsonobject"
)

// TrainingSetsFile is the file in the folder of a run that says what its sets of instances are: a list of TrainingSet.
const TrainingSetsFile = "instances.json"

// TrainingSet is a set of instances that a run trains on, in numbers.
type TrainingSet struct {
	Path      string `json:"path"`
	Instances int    `json:"instances"`
	Tokens    int64  `json:"tokens"`
	Longest   int    `json:"longest"` // tokens
	// Lengths counts the instances by their length: group i has lengths above i·Width and up to (i+1)·Width tokens.
	Width   int   `json:"width"`
	Lengths []int `json:"lengths"`
}

// maxTrainingSets bounds TrainingSetsFile.
const maxTrainingSets = 4 << 20

// ReadTrainingSets reads TrainingSetsFile from the folder of a run. Where it isn't there the error is an fs.ErrNotExist.
func ReadTrainingSets(dir string) ([]TrainingSet, error) {
	path := filepath.Join(dir, TrainingSetsFile)
	content, err := files.ReadFile(path, maxTrainingSets)
	if err != nil {
		return nil, err
	}
	var list []TrainingSet
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("%s: no list of sets of instances: %w", path, err)
	}
	for i, s := range list {
		if s.Width < 1 || len(s.Lengths) == 0 || slices.Min(s.Lengths) < 0 {
			return nil, fmt.Errorf("%s: set %d has no width or no lengths", path, i+1)
		}
	}
	return list, nil
}

// saveTrainingSets writes TrainingSetsFile.
func saveTrainingSets(dir string, sets []*Set) error {
	list := make([]TrainingSet, len(sets))
	for i, s := range sets {
		info := s.Info()
		t := &list[i]
		t.Path, t.Instances, t.Tokens, t.Longest = s.Path(), info.Instances, info.Tokens, info.Longest
		t.Width = max(1, (info.Longest+breakdownGroups-1)/breakdownGroups)
		t.Lengths = make([]int, max(1, (info.Longest+t.Width-1)/t.Width))
		for _, f := range s.files {
			for k := range f.describe().instances {
				t.Lengths[min(max(f.length(k)-1, 0)/t.Width, len(t.Lengths)-1)]++
			}
		}
	}
	return jsonobject.Save(filepath.Join(dir, TrainingSetsFile), list)
}
