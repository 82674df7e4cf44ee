package glue

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/finetune"
	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/recipe"
	"github.com/go-bert/bert/task"
)

// Recipe says how a model is fine-tuned and measured on the benchmark's tasks. Its finetune.Recipe holds for all of them; Path is
// the folder of the benchmark, with a folder for each task, and Task is empty. In JSON its own keys are beside those.
type Recipe struct {
	finetune.Recipe
	Names []string `json:"tasks,omitzero"` // of the tasks; nil: all whose data is there
	// For has values of keys for single tasks: {"cola": {"learning_rate": 3e-5}}.
	For map[string]map[string]recipe.Value `json:"for,omitzero"`
}

// UnmarshalJSON reads an object. See recipe.Unmarshal for what is an error.
func (r *Recipe) UnmarshalJSON(data []byte) error { return recipe.Unmarshal(data, r) }

// ReadRecipe reads a recipe from a JSON file, as finetune.ReadRecipe does.
func ReadRecipe(file string) (Recipe, error) {
	var r Recipe
	err := recipe.ReadFile(file, &r)
	return r, err
}

// WithDefaults is r with the defaults filled in that depend on nothing else.
func (r Recipe) WithDefaults() Recipe {
	r.Recipe = r.Recipe.WithDefaults()
	return r
}

// Validate reports the first value that is not valid, as a *recipe.Error. What only the files show is for Prepare to report.
func (r Recipe) Validate() error {
	if r.Path == "" {
		return recipe.Wrong(&r, "data", "the folder of GLUE's tasks")
	}
	if r.Task != "" {
		return recipe.Wrong(&r, "task", "none: `tasks` names several")
	}
	for _, name := range r.Names {
		if !slices.Contains(Tasks(), name) {
			return &recipe.Error{Key: "tasks", Err: fmt.Errorf("%q is none of %s", name, strings.Join(Tasks(), ", "))}
		}
	}
	names := r.names()
	for _, name := range slices.Sorted(maps.Keys(r.For)) {
		if !slices.Contains(names, name) {
			return &recipe.Error{Key: "for", Err: fmt.Errorf("task %q is not among those of this run", name)}
		}
	}
	for _, name := range names {
		one, err := r.one(name, filepath.Join(r.Path, name))
		if err == nil {
			err = one.Validate()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// names are those of the tasks, in the benchmark's order.
func (r *Recipe) names() []string {
	if r.Names == nil {
		return Tasks()
	}
	return slices.DeleteFunc(Tasks(), func(name string) bool { return !slices.Contains(r.Names, name) })
}

// one is the recipe of a task whose data is in a folder.
func (r *Recipe) one(name, folder string) (finetune.Recipe, error) {
	one := r.Recipe
	one.Task, one.Path = name, folder
	settings := r.For[name]
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if err := one.Set(key, string(settings[key])); err != nil {
			return one, err
		}
	}
	return one, nil
}

// Prepare finds the tasks' data.
func (r Recipe) Prepare(o Options) (*Suite, error) {
	if o.Output == "" {
		return nil, fmt.Errorf("there is no output folder")
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(r.Path); err != nil {
		return nil, files.PathError(err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s: a file, want the folder of GLUE's tasks", r.Path)
	}
	s := &Suite{recipe: r, options: o}
	for _, name := range r.names() {
		row, err := task.Lookup(name)
		if err != nil {
			return nil, err
		}
		m := &member{row: row, folder: row.Folder(r.Path), output: filepath.Join(o.Output, name)}
		if m.recipe, err = r.one(name, m.folder); err != nil {
			return nil, err
		}
		s.tasks = append(s.tasks, m)
	}
	return s, nil
}
