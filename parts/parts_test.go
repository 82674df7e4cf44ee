package parts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	none := func(string) string { return "" }
	for text, want := range map[string]Part{"0/1": {0, 1}, "3/16": {3, 16}, "99999/100000": {99999, 100000}} {
		if p, err := Parse(text, none); err != nil || p != want || p.String() != text {
			t.Errorf("%s: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "/", "1", "1/", "/2", "2/2", "-1/2", "+1/2", "1/+2", "0/0", "1/x", "0/100001", "env/0", "env/x", "0x1/2", " 1/2", "envy/2", "1/2/3"} {
		if p, err := Parse(text, none); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("3/16", "2", "4")
	f.Add("env/4", "x", "")
	f.Fuzz(func(t *testing.T, text, id, count string) {
		env := map[string]string{"SLURM_ARRAY_TASK_ID": id, "SLURM_ARRAY_TASK_COUNT": count, "SLURM_ARRAY_TASK_MAX": count, "JOB_COMPLETION_INDEX": ""}
		p, err := Parse(text, func(name string) string { return env[name] })
		if err == nil && p.Check() != nil {
			t.Errorf("%q: %v", text, p)
		}
	})
}

func TestFromEnvironment(t *testing.T) {
	array := func(id, least, most, step, count string) string {
		return "SLURM_ARRAY_TASK_ID=" + id + " SLURM_ARRAY_TASK_MIN=" + least + " SLURM_ARRAY_TASK_MAX=" + most + " SLURM_ARRAY_TASK_STEP=" + step + " SLURM_ARRAY_TASK_COUNT=" + count
	}
	for _, c := range []struct {
		env   string
		count int
		want  string // a part, or what the error says
	}{
		{array("3", "0", "15", "1", "16"), 0, "3/16"},
		{array("1", "1", "16", "1", "16"), 0, "0/16"},
		{array("16", "1", "16", "1", "16"), 0, "15/16"},
		{array("4", "0", "8", "4", "3"), 0, "1/3"},
		// Some tasks of an array once more.
		{array("7", "3", "7", "1", "2"), 0, "some are missing"},
		{array("7", "3", "7", "1", "2"), 16, "7/16"},
		{array("16", "1", "16", "1", "16"), 16, "want 0 to 15"},
		{array("x", "0", "1", "1", "2"), 0, `SLURM_ARRAY_TASK_ID is "x"`},
		{"SLURM_STEP_ID=0 SLURM_PROCID=2 SLURM_STEP_NUM_TASKS=4 SLURM_NTASKS=4", 0, "2/4"},
		{"SLURM_STEP_ID=0 SLURM_PROCID=2 SLURM_NTASKS=4", 0, "2/4"},
		{"SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1 SLURM_NTASKS=4 " + array("2", "0", "3", "1", "4"), 0, "2/4"},
		{"SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 " + array("2", "0", "3", "1", "4"), 0, "5/8"},
		{"SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 " + array("2", "2", "2", "1", "1"), 8, "5/8"},
		// The script of a job of several tasks is none of them.
		{"SLURM_PROCID=0 SLURM_NTASKS=4", 0, "want srun"},
		{"SLURM_PROCID=0 SLURM_NTASKS=1", 0, "says no part"},
		{"JOB_COMPLETION_INDEX=5", 8, "5/8"},
		{"JOB_COMPLETION_INDEX=5", 0, "want env/N"},
		{"JOB_COMPLETION_INDEX=8", 8, "part 8 of 8"},
		{"JOB_COMPLETION_INDEX=5 SLURM_ARRAY_TASK_ID=1", 8, "Slurm and of a Job"},
		{"", 0, "says no part"},
		{"", 4, "says no part"},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		p, err := FromEnvironment(func(name string) string { return env[name] }, c.count)
		if err != nil {
			if !errors.As(err, new(*EnvironmentError)) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %d: %v, want %s", c.env, c.count, err, c.want)
			}
		} else if p.String() != c.want {
			t.Errorf("%s, %d: %v, want %s", c.env, c.count, p, c.want)
		}
	}
}

// The shares of all parts are all things, and as long as one another.
func TestRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, count := rapid.IntRange(0, 1<<40).Draw(t, "n"), rapid.IntRange(1, 50).Draw(t, "count")
		end := 0
		for i := range count {
			from, to := (Part{i, count}).Range(n)
			if from != end || to < from || to-from < n/count || to-from > n/count+1 {
				t.Fatalf("part %d of %d of %d: %d to %d, after %d", i, count, n, from, to, end)
			}
			end = to
		}
		if end != n {
			t.Fatalf("%d parts of %d end at %d", count, n, end)
		}
	})
}

func testJob(count int) *Job {
	return &Job{
		Command: "predict", Parts: count, Input: Input{Name: "a.txt", Bytes: 30, SHA256: strings.Repeat("ab", 32)},
		Settings: Settings{{"model_sha256", strings.Repeat("cd", 32)}, {"precision", "float32"}}, Paths: Settings{{"model", "/m"}},
	}
}

// do does a part that writes text and takes ten bytes of the input.
func do(t *testing.T, dir string, j *Job, index int, text string) {
	t.Helper()
	w, err := Begin(context.Background(), dir, j, index)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	err = w.Finish(".jsonl", func(w io.Writer) (Done, error) {
		io.WriteString(w, text)
		return Done{From: int64(10 * index), To: int64(10*index + 10), Counts: Counts{Results: 1, Truncated: index, Dropped: 2 * index, Longest: 32}, Kernels: "k"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFolder(t *testing.T) {
	ctx, j, dir := context.Background(), testJob(3), filepath.Join(t.TempDir(), "parts")
	do(t, dir, j, 2, "c\n")
	do(t, dir, j, 0, "a\n")
	var missing *MissingError
	if _, err := Open(dir); !errors.As(err, &missing) || !slices.Equal(missing.Missing, []int{1}) {
		t.Errorf("two of three parts: %v", err)
	}
	// A part that failed leaves nothing.
	w, err := Begin(ctx, dir, j, 1)
	if err != nil || w.Record != nil {
		t.Fatal(w, err)
	}
	broken := errors.New("broken")
	if err := w.Finish(".jsonl", func(w io.Writer) (Done, error) { return Done{}, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	var busy *BusyError
	if _, err := Begin(ctx, dir, j, 1); !errors.As(err, &busy) || busy.Part != (Part{1, 3}) {
		t.Errorf("a part twice at once: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	// In another folder, and then both are joined.
	other := t.TempDir()
	do(t, other, j, 1, "b\n")
	s, err := Open(dir, other)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Copy(ctx, &b); err != nil || b.String() != "a\nb\nc\n" {
		t.Errorf("%q, %v", &b, err)
	}
	if c := s.Counts(); c != (Counts{Results: 3, Truncated: 3, Dropped: 6, Longest: 32}) {
		t.Errorf("counts %+v", c)
	}
	if n := s.Notes(); n != nil {
		t.Error(n)
	}
	// A part that is done says so; one whose file was lost doesn't.
	w, err = Begin(ctx, dir, j, 2)
	if err != nil || w.Record == nil || w.Record.From != 20 {
		t.Fatal(w, err)
	}
	path := w.Path()
	w.Close()
	os.WriteFile(path, []byte("x\n"), 0o666)
	var damaged *DamagedError
	if err := s.Copy(ctx, io.Discard); !errors.As(err, &damaged) || damaged.Path != path {
		t.Errorf("a damaged file: %v", err)
	}
	os.Remove(path)
	if w, err = Begin(ctx, dir, j, 2); err != nil || w.Record != nil {
		t.Error(w, err)
	}
	w.Close()
	if entries, _ := os.ReadDir(dir); len(entries) != 4 { // job, part 0 and its record, the record of part 2
		t.Error(entries)
	}
}

// A job that differs in anything but the places of its files is refused, with what differs.
func TestDiffers(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	do(t, dir, testJob(3), 0, "a\n")
	for want, change := range map[string]func(*Job){
		"this is bert encode, there bert predict":                     func(j *Job) { j.Command = "encode" },
		"one of 4 parts, there of 3":                                  func(j *Job) { j.Parts = 4 },
		`precision is "int8", there "float32"`:                        func(j *Job) { j.Settings.Set("precision", "int8") },
		`template is "x", there not set`:                              func(j *Job) { j.Settings.Set("template", "x") },
		`precision is not set, there "float32"`:                       func(j *Job) { j.Settings = j.Settings[:1] },
		"model_sha256 is efefefef…, there cdcdcdcd…":                  func(j *Job) { j.Settings.Set("model_sha256", strings.Repeat("ef", 32)) },
		"the input a.txt has 31 bytes, there a.txt had 30 bytes":      func(j *Job) { j.Input.Bytes = 31 },
		"the input a.txt has another content than a.txt had there (S": func(j *Job) { j.Input.SHA256 = strings.Repeat("00", 32) },
		"": func(j *Job) { j.Input.Name, j.Paths = "/b/a.txt", nil },
	} {
		j := testJob(3)
		change(j)
		w, err := Begin(ctx, dir, j, 1)
		if err == nil {
			w.Close()
		}
		var different *DifferentError
		if want == "" && err != nil || want != "" && (!errors.As(err, &different) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Parts that don't follow one another in the input, and folders of other things, are refused.
func TestOpenRefuses(t *testing.T) {
	j, dir := testJob(2), t.TempDir()
	do(t, dir, j, 0, "a\n")
	do(t, dir, j, 1, "b\n")
	path := filepath.Join(dir, "part-00001-of-00002.done.json")
	record, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"from": 10`, `"from": 11`, "part 0 ends at 10 of the input and part 1 begins at 11"},
		{`"part": 1`, `"part": 0`, "it is the record of part 0, want 1"},
		{`"part-00001-of-00002.jsonl"`, `"../x.jsonl"`, "the name of its file"},
		{`"version": 1`, `"version": 2`, "version 2"},
		{`"results": 1`, `"results": -1`, "a count below 0"},
		{`"part": 1`, `"path": 1`, "damaged"},
	} {
		changed := bytes.Replace(record, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(changed, record) {
			t.Fatalf("no %s in %s", c.old, record)
		}
		os.WriteFile(path, changed, 0o666)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.new, err, c.want)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "it has no job.json") {
		t.Error(err)
	}
	full := t.TempDir()
	os.WriteFile(filepath.Join(full, "x"), nil, 0o666)
	if _, err := Begin(context.Background(), full, j, 0); err == nil || !strings.Contains(err.Error(), "holds x and no job.json") {
		t.Error(err)
	}
}

func TestOpenWhenDone(t *testing.T) {
	j, dir := testJob(2), filepath.Join(t.TempDir(), "parts")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	var none *NoPartsError
	if _, err := OpenWhenDone(ctx, nil, dir); !errors.As(err, &none) {
		t.Errorf("what never begins: %v", err)
	}
	var told []string
	s, err := OpenWhenDone(context.Background(), func(err error) {
		told = append(told, strings.TrimPrefix(err.Error(), dir+": "))
		do(t, dir, j, 2-len(told), "x\n")
	}, dir)
	if err != nil || len(s.Records) != 2 || !slices.Equal(told, []string{"no folder of parts: it has no job.json", "1 of 2 parts is not done: 0"}) {
		t.Error(s, err, told)
	}
}

func TestRanges(t *testing.T) {
	if got := ranges([]int{0, 1, 2, 5, 7, 8}); got != "0-2,5,7-8" {
		t.Error(got)
	}
}

func FuzzRecord(f *testing.F) {
	r, _ := json.Marshal(&Record{Version: 1, Part: 1, File: "part-00001-of-00002.jsonl", SHA256: strings.Repeat("ab", 32)})
	j, _ := json.Marshal(testJob(2))
	f.Add(r)
	f.Add(j)
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := parseRecord(data, Part{1, 2}); err == nil && filepath.Base(r.File) != r.File {
			t.Errorf("a file elsewhere: %s", r.File)
		}
		if j, err := parseJob(data); err == nil {
			again, err := json.Marshal(j)
			if err != nil {
				t.Fatal(err)
			}
			if k, err := parseJob(again); err != nil || j.differs(k) != "" {
				t.Errorf("%s: %v", again, err)
			}
		}
	})
}

// A sample tells files apart in their size, their first and their last bytes.
func TestSample(t *testing.T) {
	sample := func(b []byte) string {
		t.Helper()
		s, err := Sample(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, n := range []int{0, 1, 4096, 5000, 64 * 4096, 64*4096 + 1, 1 << 20} {
		b := bytes.Repeat([]byte("x"), n)
		first := sample(b)
		if n > 0 {
			for _, at := range []int{0, n - 1} {
				b[at] = 'y'
				if sample(b) == first {
					t.Errorf("byte %d of %d makes no difference", at, n)
				}
				b[at] = 'x'
			}
		}
		if sample(append(b, 'x')) == first {
			t.Errorf("the size of %d makes no difference", n)
		}
	}
}
