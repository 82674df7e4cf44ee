package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// reviews are what testdata/aclImdb holds.
var reviews = map[Split][]Example{
	Train: {
		{Label: "neg", Input: Input{Text: "The first half hour promises a thriller.<br /><br />The rest forgets it ever did."}},
		{Label: "neg", Input: Input{Text: "Two stars who cannot stand each other, and it shows in every kiss."}},
		{Label: "neg", Input: Input{Text: "I counted the ceiling tiles. There are 212 of them."}},
		{Label: "pos", Input: Input{Text: "A small, generous film about a lighthouse keeper who learns to swim."}},
		{Label: "pos", Input: Input{Text: "Funny from the first line to the last, and kinder than it had to be."}},
	},
	Test: {
		{Label: "neg", Input: Input{Text: "The dialogue was written by someone who has only read about people."}},
		{Label: "pos", Input: Input{Text: "It earns its tears honestly – café scene included."}},
	},
	Unsupervised: {
		{Input: Input{Text: "Saw this on a train between two tunnels."}},
	},
}

// member is a file for an archive.
type member struct {
	name, text string
	kind       byte
}

func tarball(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.text)), Typeflag: m.kind}
		if m.kind == tar.TypeSymlink {
			h.Linkname, h.Size = m.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(m.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// imdbMembers are the files of testdata/aclImdb, in the reverse of their order.
func imdbMembers(t testing.TB) []member {
	t.Helper()
	var members []member
	err := filepath.WalkDir("testdata/aclImdb", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "testdata/")
		if d.IsDir() {
			members = append(members, member{name: name + "/", kind: tar.TypeDir})
			return nil
		}
		data, err := os.ReadFile(path)
		members = append(members, member{name, string(data), tar.TypeReg})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(members)
	return members
}

func TestReadIMDB(t *testing.T) {
	var dotted []member
	for _, m := range imdbMembers(t) {
		m.name = "./" + m.name
		dotted = append(dotted, m)
	}
	sources := map[string]string{
		"folder":       "testdata/aclImdb",
		"folder above": "testdata",
		"tar.gz":       writeFile(t, "aclImdb.tar.gz", string(gzipped(t, tarball(t, imdbMembers(t)...)))),
		"tar":          writeFile(t, "reviews", string(tarball(t, dotted...))),
	}
	for name, path := range sources {
		for split, want := range reviews {
			set, err := ReadIMDB(t.Context(), path, split, TableOptions{})
			if err != nil {
				t.Fatalf("%s, %s: %v", name, split, err)
			}
			got := set.Examples
			if len(got) != len(want) {
				t.Fatalf("%s, %s: %d reviews, want %d", name, split, len(got), len(want))
			}
			for i := range want {
				if got[i].Text != want[i].Text || got[i].Label != want[i].Label {
					t.Errorf("%s, %s, %d: %q is %q, want %q, %q", name, split, i, got[i].Text, got[i].Label, want[i].Text, want[i].Label)
				}
			}
			source := got[0].Source.String()
			if !strings.HasPrefix(source, path) || !strings.HasSuffix(source, "/0_3.txt") && split == Train {
				t.Errorf("%s, %s: the first review is from %s", name, split, source)
			}
		}
	}
}

func TestReadIMDBErrors(t *testing.T) {
	archive := gzipped(t, tarball(t, imdbMembers(t)...))
	plain := tarball(t, imdbMembers(t)...)
	at := bytes.Index(plain, []byte("The first half hour"))
	file := func(data []byte) string { return writeFile(t, "a.tar.gz", string(data)) }
	big := &bytes.Buffer{}
	w := tar.NewWriter(big)
	if err := w.WriteHeader(&tar.Header{Name: "aclImdb/train/neg/0_1.txt", Size: 1 << 60, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		split      Split
		want       []string
	}{
		{"no such file", "testdata/none", Train, []string{"testdata/none: no such file"}},
		{"no data set", "testdata/aclImdb/test/neg", Train, []string{"testdata/aclImdb/test/neg", "want the folder aclImdb"}},
		{"no split", "testdata/aclImdb", "dev", []string{`no split "dev"`, "train, test or unsup"}},
		{"cut off", file(archive[:len(archive)/2]), Train, []string{"a.tar.gz", "truncated"}},
		{"cut off in a review", file(plain[:at+5]), Train, []string{"aclImdb/train/neg/0_3.txt", "truncated"}},
		{"no archive", file([]byte("label,text\npos,good\n")), Train, []string{"a.tar.gz", "no whole tar archive"}},
		{"empty file", file(nil), Train, []string{"a.tar.gz", "no reviews of train in it"}},
		{"other archive", file(tarball(t, member{"notes.txt", "x", tar.TypeReg})), Test, []string{"no reviews of test in it"}},
		{"huge member", file(big.Bytes()), Train, []string{"0_1.txt", "1,152,921,504,606,846,976 bytes"}},
		{"link", file(tarball(t, member{"train/pos/1_9.txt", "/etc/passwd", tar.TypeSymlink})), Train, []string{"a.tar.gz:train/pos/1_9.txt", "link"}},
		{"twice", file(tarball(t, member{"train/pos/1_9.txt", "x", tar.TypeReg}, member{"./train/pos/1_9.txt", "y", tar.TypeReg})), Train,
			[]string{"train/pos/1_9.txt: twice"}},
		{"two data sets", file(tarball(t, member{"a/train/pos/1_9.txt", "x", tar.TypeReg}, member{"b/train/pos/2_9.txt", "y", tar.TypeReg})), Train,
			[]string{"b/train/pos/2_9.txt", `beside "a/"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadIMDB(t.Context(), c.path, c.split, TableOptions{})
			wantError(t, err, c.want...)
		})
	}
}

// A folder whose name only ends like the wanted one is not it.
func TestReadIMDBFolderNames(t *testing.T) {
	data := tarball(t,
		member{"x/mytrain/neg/0_1.txt", "no", tar.TypeReg},
		member{"x/train/neg/sub/0_1.txt", "no", tar.TypeReg},
		member{"x/train/neg/0_2.txt", "yes", tar.TypeReg})
	set, err := readIMDBArchive(bytes.NewReader(data), "a.tar", Train, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := set.Examples
	if len(got) != 1 || got[0].Text != "yes" {
		t.Errorf("read %v, want the one review", got)
	}
}

// Fuzz it with -fuzzminimizetime=10x: else most of the time goes into making archives smaller.
func FuzzReadIMDBArchive(f *testing.F) {
	small := tarball(f, member{"aclImdb/train/neg/1_2.txt", "dull", tar.TypeReg}, member{"./aclImdb/train/unsup/0_0.txt", "", tar.TypeReg},
		member{"aclImdb/test/pos/3_9.txt", "good", tar.TypeReg}, member{"aclImdb/test/pos/4_9.txt", "3_9.txt", tar.TypeSymlink})
	f.Add(small)
	f.Add(gzipped(f, small))
	f.Add([]byte{0x1f, 0x8b, 8})
	f.Add([]byte(nil))
	f.Add([]byte(sparseTar(2, 16<<20)))
	f.Add([]byte(zipped(manyReviews(2, 300))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		for split := range imdbParts {
			set, err := readIMDBArchive(bytes.NewReader(data), "fuzz", split, TableOptions{})
			if err != nil {
				continue
			}
			examples := set.Examples
			if len(examples) == 0 {
				t.Fatal("neither reviews nor an error")
			}
			for i, e := range examples {
				if !slices.ContainsFunc(imdbParts[split], func(p imdbPart) bool { return p.label == e.Label }) {
					t.Fatalf("label %q", e.Label)
				}
				if i > 0 && examples[i-1].Source.Member >= e.Source.Member {
					t.Fatalf("%v comes after %v", e.Source, examples[i-1].Source)
				}
			}
		}
	})
}
