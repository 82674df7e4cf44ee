package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-bert/bert/internal/files"
	"github.com/go-bert/bert/internal/lazyregexp"
)

// configNames are the files that mark a folder as a model. The first that exists counts.
var configNames = []string{"config.json", "bert_config.json"}

// companions are the other small files of a model: its tokenizer, the task file of this project's models, and the list of the
// modules of a sentence-transformers folder.
var companions = []string{
	"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "task.json", modulesFile,
}

// weights are the files that may hold a model's weights. The first that exists is taken; an index stands for the files that it
// names. TensorFlow checkpoints, which have names of their own, come last.
var weights = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}

const (
	shardIndex   = ".index.json"
	bundleIndex  = ".index"
	maxJSON      = 64 << 20
	maxFileNames = 1 << 16
)

// bundleData matches the names of a TensorFlow checkpoint's data files after its prefix.
var bundleData = lazyregexp.New(`^\.data-\d{5}-of-\d{5}$`)

// PullOptions say what Pull fetches, and have hooks. All are optional.
type PullOptions struct {
	// Include, if not empty, are patterns of the files to fetch in place of those that Pull chooses; the configuration is fetched
	// in any case. Exclude are patterns of files to do without. They are huggingface_hub's allow_patterns and ignore_patterns:
	// "onnx/*", "*.json", where * stands for slashes too.
	Include, Exclude []string
	// Check is called with the path of the configuration before anything large is fetched. Its error ends the pull.
	Check func(config string) error
	// Progress is called with the number of bytes of a file fetched so far, and its size, which is -1 while it isn't
	// known. There is one call at a time.
	Progress func(file string, done, size int64)
	// Note is called with a one-line message about waits and temporary failures.
	Note func(string)
}

// A Snapshot is a model in the cache.
type Snapshot struct {
	Dir    string
	Commit string
	Files  []string // that were asked for: names in Dir, with slashes
}

// Pull fetches the files of a model that a BERT needs into the cache: its configuration, its tokenizer, and its weights in the
// first available format of safetensors, PyTorch and TensorFlow. Files or parts of files already in the cache are not fetched
// again. The checksum of every file is compared with the server's, also of those that are in the cache: what is damaged there is
// fetched anew. Several processes may pull the same model at once. Offline, the error for a damaged file is a *DamagedError.
//
// The error is one line. Everything fetched before it is kept, and another Pull continues from there.
func (h *Hub) Pull(ctx context.Context, r Ref, o PullOptions) (*Snapshot, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	chosen, err := newSelection(&o)
	if err != nil {
		return nil, err
	}
	if h.Offline {
		return h.cached(ctx, r, &chosen)
	}
	switch {
	case h.tokenErr != nil:
		o.Note(h.tokenErr.Error())
	case h.Token != "" && !h.mayHaveToken(h.Endpoint):
		o.Note("the access token is not sent to " + h.Endpoint.String() + ", because the connection is not encrypted: use https")
	}
	var info modelInfo
	err = h.retry(ctx, o.Note, func() (int64, error) {
		var err error
		info, err = h.modelInfo(ctx, r)
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	p := puller{hub: h, ref: r, info: info, o: o, chosen: chosen, dir: h.snapshot(r, info.Commit)}
	if err := p.pull(ctx); err != nil {
		return nil, err
	}
	return &Snapshot{Dir: p.dir, Commit: info.Commit, Files: p.names}, nil
}

// cached returns a model that is in the cache already.
func (h *Hub) cached(ctx context.Context, r Ref, chosen *selection) (*Snapshot, error) {
	dir, err := h.Lookup(r)
	if errors.Is(err, ErrNotCached) {
		return nil, fmt.Errorf("%s is not in the cache %s, and HF_HUB_OFFLINE forbids fetching it", r, h.Cache)
	}
	if err != nil {
		return nil, err
	}
	commit := filepath.Base(dir)
	if err := h.checkSnapshot(ctx, r, commit, true); err != nil {
		return nil, err
	}
	s := &Snapshot{Dir: dir, Commit: commit}
	included := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || files.IsTemp(d.Name()) {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch name = filepath.ToSlash(name); {
		case slices.Contains(configNames, name):
		case chosen.excludes(name), len(chosen.include) > 0 && !chosen.includes(name):
			return nil
		default:
			included++
			if len(chosen.include) == 0 {
				break // what is read of a model was checked
			}
			if err := h.checkFile(ctx, r, commit, name); err != nil && err != errUnknown {
				return err
			}
		}
		s.Files = append(s.Files, name)
		return nil
	})
	if err == nil && included == 0 && len(chosen.include) > 0 {
		err = fmt.Errorf("%s has no file in the cache %s that was asked for, and HF_HUB_OFFLINE forbids fetching it", r, h.Cache)
	}
	return s, err
}

// modelInfo is the hub's description of a model at a revision.
type modelInfo struct {
	Commit string    `json:"sha"`
	Files  []sibling `json:"siblings"`
}

type sibling struct {
	Name string `json:"rfilename"`
}

func (m *modelInfo) has(name string) bool {
	for _, f := range m.Files {
		if f.Name == name {
			return true
		}
	}
	return false
}

func (h *Hub) modelInfo(ctx context.Context, r Ref) (info modelInfo, err error) {
	resp, err := h.do(ctx, http.MethodGet, h.modelAddress([]string{"api", "models"}, r, "revision", r.Revision), nil, h.answer, nil)
	if err != nil {
		return info, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return info, h.statusError(r, "model "+r.String(), resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON))
	if err != nil {
		return info, networkError(resp.Request.URL, err)
	}
	if err := json.Unmarshal(data, &info); err != nil || !commitID().MatchString(info.Commit) || len(info.Files) > maxFileNames {
		return info, fmt.Errorf("%s: its description of %s is not one of Hugging Face's hub: is HF_ENDPOINT right?", resp.Request.URL.Host, r)
	}
	return info, nil
}

// A puller is a pull in progress.
type puller struct {
	hub    *Hub
	ref    Ref
	info   modelInfo
	o      PullOptions
	chosen selection
	dir    string // the snapshot
	names  []string
	blobs  map[string]string // paths of files that were fetched and are not in the snapshot yet
}

func (p *puller) pull(ctx context.Context) error {
	p.blobs = map[string]string{}
	config := p.first(configNames)
	if config == "" {
		return fmt.Errorf("%s has neither %s: it is not a model that bert can read", p.ref, strings.Join(configNames, " nor "))
	}
	path, err := p.fetch(ctx, config)
	if err != nil {
		return err
	}
	if p.o.Check != nil {
		if err := p.o.Check(path); err != nil {
			return fmt.Errorf("%s: %s: %w", p.ref, config, withoutPath(err, path))
		}
	}
	if len(p.chosen.include) > 0 {
		if err := p.fetchIncluded(ctx, config); err != nil {
			return err
		}
		return p.finish(ctx)
	}
	p.info.Files = slices.DeleteFunc(p.info.Files, func(f sibling) bool { return p.chosen.excludes(f.Name) })
	for _, name := range companions {
		if p.info.has(name) {
			if _, err := p.fetch(ctx, name); err != nil {
				return err
			}
		}
	}
	if err := p.fetchPipeline(ctx); err != nil {
		return err
	}
	if len(p.o.Exclude) == 0 && !p.info.has("vocab.txt") && !p.info.has("tokenizer.json") {
		p.o.Note(fmt.Sprintf("%s has neither vocab.txt nor tokenizer.json: to use it, you need its vocabulary from elsewhere", p.ref))
	}
	if err := p.fetchWeights(ctx); err != nil {
		return err
	}
	return p.finish(ctx)
}

// fetchIncluded fetches the files that were asked for, beside the configuration.
func (p *puller) fetchIncluded(ctx context.Context, config string) error {
	found := false
	for _, f := range p.info.Files {
		if f.Name == config || !p.chosen.includes(f.Name) {
			continue
		}
		if !isPath(f.Name) {
			return fmt.Errorf("%s has a file of the name %q, which is no path in a folder", p.ref, f.Name)
		}
		if _, err := p.fetch(ctx, f.Name); err != nil {
			return err
		}
		found = true
	}
	if !found {
		return fmt.Errorf("%s has none of the files that were asked for (%s)", p.ref, strings.Join(p.o.Include, ", "))
	}
	return nil
}

// first returns the first of the names that the model has, or "".
func (p *puller) first(names []string) string {
	if i := slices.IndexFunc(names, p.info.has); i >= 0 {
		return names[i]
	}
	return ""
}

func (p *puller) fetchWeights(ctx context.Context) error {
	name := p.first(weights)
	if name == "" {
		return p.fetchBundle(ctx)
	}
	path, err := p.fetch(ctx, name)
	if err != nil || !strings.HasSuffix(name, shardIndex) {
		return err
	}
	shards, err := readShards(path)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", p.ref, name, err)
	}
	for _, shard := range shards {
		// Only files that the server listed are fetched, so the index can't ask for anything else.
		if !isFileName(shard) || !p.info.has(shard) {
			return fmt.Errorf("%s: %s names the file %q, which the model does not have", p.ref, name, shard)
		}
		if filepath.Ext(shard) != filepath.Ext(strings.TrimSuffix(name, shardIndex)) {
			return fmt.Errorf("%s: %s names the file %q, which holds no weights", p.ref, name, shard)
		}
		if _, err := p.fetch(ctx, shard); err != nil {
			return err
		}
	}
	return nil
}

// isFileName reports whether a name is a plain file name, which can't lead to another folder.
func isFileName(name string) bool {
	return filepath.IsLocal(name) && name != "." && !strings.ContainsAny(name, "/\\\x00")
}

// isPath reports whether a name, with slashes, is a path that stays in its folder.
func isPath(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && path.Clean(name) == name && name != "." && !strings.ContainsAny(name, "\\:\x00")
}

// readShards lists the files that an index names.
func readShards(path string) ([]string, error) {
	data, err := files.ReadFile(path, maxJSON)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("not the index of a sharded checkpoint: %w", err)
	}
	var shards []string
	for _, shard := range index.WeightMap {
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	return slices.Compact(shards), nil
}

// fetchBundle fetches a TensorFlow checkpoint: PREFIX.index and PREFIX.data-00000-of-00001.
func (p *puller) fetchBundle(ctx context.Context) error {
	var prefixes []string
	for _, f := range p.info.Files {
		if prefix, ok := strings.CutSuffix(f.Name, bundleIndex); ok && isFileName(f.Name) {
			prefixes = append(prefixes, prefix)
		}
	}
	slices.Sort(prefixes)
	switch len(prefixes) {
	case 0:
		return fmt.Errorf("%s has no weights that bert can read: want one of %s, or a TensorFlow checkpoint", p.ref, strings.Join(weights, ", "))
	case 1:
	default:
		return fmt.Errorf("%s has several TensorFlow checkpoints (%s), want one", p.ref, strings.Join(prefixes, ", "))
	}
	for _, f := range p.info.Files {
		if rest, ok := strings.CutPrefix(f.Name, prefixes[0]); ok && (rest == bundleIndex || bundleData().MatchString(rest)) {
			if _, err := p.fetch(ctx, f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch fetches a file into the cache and returns its path. If the snapshot has the file, and its checksum is right, fetch does
// not contact the server: a commit never changes.
func (p *puller) fetch(ctx context.Context, name string) (path string, err error) {
	p.names = append(p.names, name)
	there := filepath.Join(p.dir, filepath.FromSlash(name))
	err = p.hub.checkFile(ctx, p.ref, p.info.Commit, name)
	if err == nil {
		return there, nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	have := ""
	if err == errUnknown {
		have = there
	}
	path, err = p.hub.fetchBlob(ctx, p.ref, p.info.Commit, name, have, p.o)
	if err != nil || path == there {
		return path, err
	}
	p.blobs[name] = path
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// finish makes the snapshot from the blobs, and then the ref. The configuration, by which Lookup finds a snapshot, is made last.
func (p *puller) finish(ctx context.Context) error {
	h, commit := p.hub, p.info.Commit
	if err := h.mkdir(p.dir); err != nil {
		return err
	}
	unlock, err := h.lock(ctx, p.ref, commit, nil)
	if err != nil {
		return err
	}
	defer unlock()
	folders := []string{p.dir}
	for name := range p.blobs {
		if dir := filepath.Dir(filepath.Join(p.dir, filepath.FromSlash(name))); !slices.Contains(folders, dir) {
			folders = append(folders, dir)
			if err := h.mkdir(dir); err != nil {
				return err
			}
		}
	}
	for _, dir := range append(folders, filepath.Join(h.folder(p.ref), checkedName)) {
		if err := removeTemporary(dir, ""); err != nil {
			return err
		}
	}
	for _, name := range slices.Backward(p.names) { // the configuration was fetched first
		blob := p.blobs[name]
		if blob == "" {
			continue
		}
		path := filepath.Join(p.dir, filepath.FromSlash(name))
		if err := link(blob, path); err != nil {
			return err
		}
		if linkedBlob(path) == "" { // a copy
			if stamp, err := files.Settled(path); err == nil {
				h.remember(p.ref, copyKey(commit, name), filepath.Base(blob), stamp)
			}
		}
	}
	for _, dir := range slices.Backward(folders) {
		if err := files.SyncDir(dir); err != nil {
			return err
		}
	}
	if p.ref.Revision == commit {
		return nil
	}
	ref := h.refFile(p.ref)
	if err := h.mkdir(filepath.Dir(ref)); err != nil {
		return err
	}
	if err := removeTemporary(filepath.Dir(ref), filepath.Base(ref)); err != nil {
		return err
	}
	if was, err := files.ReadFile(ref, 1<<10); err == nil && string(was) == commit {
		return nil
	}
	return writeFile(ref, strings.NewReader(commit))
}

// link makes path a symbolic link to blob, or a copy where links are not supported. The link is relative, so that the cache can
// be moved.
func link(blob, path string) error {
	target, err := filepath.Rel(filepath.Dir(path), blob)
	if err != nil {
		return err
	}
	temp := files.TempName(path)
	if err := os.Symlink(target, temp); err != nil {
		return copyFile(blob, path)
	}
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return err
	}
	return nil
}

func copyFile(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeFile(to, f)
}

func writeFile(path string, content io.Reader) error {
	return files.WriteFile(path, 0o666, func(w io.Writer) error {
		_, err := io.Copy(w, content)
		return err
	})
}

// withoutPath removes the path of a cache file, which means nothing to the user, from an error.
func withoutPath(err error, path string) error {
	if rest, ok := strings.CutPrefix(err.Error(), path+": "); ok {
		return errors.New(rest)
	}
	return err
}

// CopyTo copies the snapshot's files to the folder dir, which it creates if necessary, with all files or not at all. In a folder
// that is there, existing files are left alone if they are identical; any other model file in it is an error, so that two
// models are never mixed. While another process writes into dir, the error says so.
func (s *Snapshot) CopyTo(ctx context.Context, dir string) error {
	put := func(name, dir string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		return copyFile(filepath.Join(s.Dir, filepath.FromSlash(name)), to)
	}
	err := files.Folder(dir, func(dir string) error {
		for _, name := range slices.Backward(s.Files) {
			if err := put(name, dir); err != nil {
				return err
			}
		}
		return nil
	}, configNames...)
	var notEmpty *files.NotEmptyError
	if !errors.As(err, &notEmpty) {
		return err
	}
	missing, err := s.missingIn(dir)
	if err != nil || len(missing) == 0 {
		return err
	}
	release, err := files.Lock(dir)
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(missing) { // the configuration, which makes it a model, last
		err = removeTemporary(dir, name)
		if err == nil {
			err = put(name, dir)
		}
		if err != nil {
			break
		}
	}
	return errors.Join(err, release())
}

// missingIn lists the files that a folder lacks, and checks those that it has.
func (s *Snapshot) missingIn(dir string) (missing []string, err error) {
	for _, name := range slices.Concat(configNames, companions, weights) {
		if isFile(filepath.Join(dir, name)) && !slices.Contains(s.Files, name) {
			return nil, fmt.Errorf("%s: contains the %s of another model: choose another folder", dir, name)
		}
	}
	for _, name := range s.Files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if !isFile(path) {
			missing = append(missing, name)
			continue
		}
		same, err := sameContent(path, filepath.Join(s.Dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		if !same {
			return nil, fmt.Errorf("%s: contains a different %s: choose another folder", dir, name)
		}
	}
	return missing, nil
}

func sameContent(a, b string) (bool, error) {
	var both [2]*os.File
	var sizes [2]int64
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			return false, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return false, err
		}
		both[i], sizes[i] = f, info.Size()
	}
	if sizes[0] != sizes[1] {
		return false, nil
	}
	var chunks [2][1 << 16]byte
	for {
		n, err := io.ReadFull(both[0], chunks[0][:])
		m, _ := io.ReadFull(both[1], chunks[1][:])
		switch {
		case n != m || string(chunks[0][:n]) != string(chunks[1][:m]):
			return false, nil
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return true, nil
		case err != nil:
			return false, err
		}
	}
}
