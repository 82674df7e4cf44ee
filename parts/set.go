package parts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/message"
)

// MissingError says that parts are not done yet.
type MissingError struct {
	Dirs    []string
	Missing []int // from 0
	Count   int   // of all parts
}

func (e *MissingError) Error() string {
	verb := "are"
	if len(e.Missing) == 1 {
		verb = "is"
	}
	return fmt.Sprintf("%s: %s of %s parts %s not done: %s", strings.Join(e.Dirs, ", "), message.Thousands(len(e.Missing)), message.Thousands(e.Count), verb, ranges(e.Missing))
}

// NoPartsError says that no part has begun in a folder.
type NoPartsError struct{ Dir string }

func (e *NoPartsError) Error() string {
	return fmt.Sprintf("%s: no folder of parts: it has no %s", e.Dir, jobName)
}

// Unwrap makes it an fs.ErrNotExist.
func (e *NoPartsError) Unwrap() error { return fs.ErrNotExist }

// ranges lists increasing numbers as Slurm's --array takes them: 0-3,7.
func ranges(numbers []int) string {
	var b strings.Builder
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, numbers[i])
		if end > i {
			fmt.Fprintf(&b, "-%d", numbers[end])
		}
		i = end + 1
	}
	return b.String()
}

// Set is all parts of a job, each of which is done.
type Set struct {
	Job     *Job
	Records []*Record // by part
	paths   []string  // of the parts' files
}

// Open gathers the parts in folders, and checks that they belong together: that they are of one job, and that each begins in the input where
// the one before it ends. Parts that are not done are a *MissingError, a folder without any a *NoPartsError, other work a *DifferentError. The parts' files are read by Each.
func Open(dirs ...string) (*Set, error) {
	if len(dirs) == 0 {
		return nil, errors.New("no folder of parts")
	}
	s := new(Set)
	for _, dir := range dirs {
		j, err := readJob(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &NoPartsError{dir}
		case err != nil:
			return nil, err
		case s.Job == nil:
			s.Job, s.Records, s.paths = j, make([]*Record, j.Parts), make([]string, j.Parts)
		default:
			if d := j.differs(s.Job); d != "" {
				return nil, &DifferentError{dir, d}
			}
		}
		if err := s.add(dir); err != nil {
			return nil, err
		}
	}
	var missing []int
	for i, r := range s.Records {
		if r == nil {
			missing = append(missing, i)
		}
	}
	if missing != nil {
		return nil, &MissingError{dirs, missing, s.Job.Parts}
	}
	for i, r := range s.Records[1:] {
		if before := s.Records[i]; before.To != r.From {
			return nil, &DifferentError{filepath.Dir(s.paths[i+1]), fmt.Sprintf("part %d ends at %d of the input and part %d begins at %d: the input has changed between them",
				i, before.To, i+1, r.From)}
		}
	}
	return s, nil
}

// add adds the records of a folder.
func (s *Set) add(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return files.PathError(err)
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), doneSuffix)
		if !ok {
			continue
		}
		p := Part{}
		if n, err := fmt.Sscanf(base, "part-%d-of-%d", &p.Index, &p.Count); n != 2 || err != nil || p.base() != base || p.Count != s.Job.Parts || p.Check() != nil {
			return fmt.Errorf("%s: the record of a part of other work than %s says", filepath.Join(dir, e.Name()), jobName)
		}
		r, err := readRecord(dir, p)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, r.File)
		if there := s.Records[p.Index]; there != nil {
			if there.SHA256 != r.SHA256 {
				return &DifferentError{dir, fmt.Sprintf("part %v is also in %s, with another result", p, filepath.Dir(s.paths[p.Index]))}
			}
			continue
		}
		if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() != r.Bytes {
			continue // it was lost, so it is missing
		} else if err != nil {
			return files.PathError(err)
		}
		s.Records[p.Index], s.paths[p.Index] = r, path
	}
	return nil
}

// OpenWhenDone is Open, but waits until all parts are done or ctx is. waiting, if not nil, is told what is missing whenever that has changed: a
// *MissingError, or a *NoPartsError.
func OpenWhenDone(ctx context.Context, waiting func(error), dirs ...string) (*Set, error) {
	last := ""
	for {
		s, err := Open(dirs...)
		if err == nil || !errors.As(err, new(*MissingError)) && !errors.As(err, new(*NoPartsError)) {
			return s, err
		}
		if now := err.Error(); now != last && waiting != nil {
			last = now
			waiting(err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, err
			}
			return nil, context.Cause(ctx)
		}
	}
}

// Path is that of the file of a part.
func (s *Set) Path(part int) string { return s.paths[part] }

// Counts are those of all parts together.
func (s *Set) Counts() Counts {
	var c Counts
	for _, r := range s.Records {
		c.Add(r.Counts)
	}
	return c
}

// Notes say in what the parts differ that may show in the last digits of their numbers.
func (s *Set) Notes() []string {
	var notes []string
	differing := func(what string, of func(*Record) string) {
		var all []string
		for _, r := range s.Records {
			if v := of(r); !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
		if len(all) > 1 {
			notes = append(notes, fmt.Sprintf("the parts were made by several %s (%s): the last digits of their numbers may not be those of one run", what, strings.Join(all, ", ")))
		}
	}
	differing("kinds of processors", func(r *Record) string { return r.Kernels })
	differing("releases of bert", func(r *Record) string { return r.Program })
	return notes
}

// Each calls visit with the content of the file of each part, in order, and checks that it is what the part made. A file that isn't is a
// *DamagedError, after visit had it.
func (s *Set) Each(ctx context.Context, visit func(part int, content io.Reader) error) error {
	for i, r := range s.Records {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.one(ctx, i, r, visit); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) one(ctx context.Context, i int, r *Record, visit func(int, io.Reader) error) error {
	f, err := files.Open(s.paths[i])
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	content := io.TeeReader(&until{ctx, f}, sum)
	if err := visit(i, content); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return files.PathError(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != r.SHA256 {
		return &DamagedError{s.paths[i], fmt.Errorf("its SHA-256 is %.8s…, want %.8s…", got, r.SHA256)}
	}
	return nil
}

// Copy writes the files of all parts, one after another.
func (s *Set) Copy(ctx context.Context, w io.Writer) error {
	return s.Each(ctx, func(_ int, content io.Reader) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, content, make([]byte, 1<<18))
		return err
	})
}

// until is a reader that ends with ctx.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u *until) Read(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(b)
}
