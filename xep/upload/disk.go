package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// partial is the directory of files that are not complete.
const partial = "partial"

// strayAfter is how old a file must be to be taken for one that is not known.
const strayAfter = day

// sweepAtOnce is how many names are looked up together.
const sweepAtOnce = 200

// A Disk is a shelf in a directory: a file each, in directories by the first two characters of
// their ids, so that none has too many. What is not complete is in a directory of its own.
type Disk struct {
	dir  string
	root *os.Root // nothing outside of it can be named
}

// NewDisk returns a shelf in a directory, which is made if it is not there.
func NewDisk(dir string) *Disk { return &Disk{dir: dir} }

// Begin implements Shelf.
func (d *Disk) Begin() error {
	if err := os.MkdirAll(path.Join(d.dir, partial), 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return err
	}
	if d.root != nil {
		d.root.Close()
	}
	d.root = root
	left, err := fs.ReadDir(root.FS(), partial)
	if err != nil {
		return err
	}
	for _, f := range left {
		if err := root.Remove(path.Join(partial, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

func where(id string) (dir, name string) { return id[:2], path.Join(id[:2], id) }

// Put implements Shelf. What can be found under id is complete and on the disk.
func (d *Disk) Put(_ context.Context, id string, size int64, from io.Reader) (err error) {
	tmp := path.Join(partial, id)
	f, err := d.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			d.root.Remove(tmp)
		}
	}()
	if err = copyTo(f, from, size); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	dir, name := where(id)
	if err = d.root.Mkdir(dir, 0o700); err == nil {
		err = d.sync(".")
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	if err = d.root.Rename(tmp, name); err != nil {
		return err
	}
	if err := d.sync(dir); err != nil {
		d.root.Remove(name)
		return err
	}
	return nil
}

// sync has the names in a directory be on the disk.
func (d *Disk) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Open implements Shelf.
func (d *Disk) Open(_ context.Context, id string, size int64) (io.ReadSeekCloser, error) {
	_, name := where(id)
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || st.Size() != size {
		f.Close()
		return nil, fmt.Errorf("upload: the file %s has another size than it had: %w", id, err)
	}
	return f, nil
}

// Remove implements Shelf.
func (d *Disk) Remove(_ context.Context, id string) error {
	_, name := where(id)
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Strays implements Shelf: it takes off files that have no row, as those that are newer than a
// database from a backup.
func (d *Disk) Strays(ctx context.Context, known func([]string) (map[string]bool, error)) (n int, err error) {
	dirs, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		if dir.Name() == partial || !dir.IsDir() {
			continue
		}
		f, err := d.root.Open(dir.Name())
		if err != nil {
			return n, err
		}
		gone, err := d.straysIn(ctx, f, known)
		f.Close()
		n += gone
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (d *Disk) straysIn(ctx context.Context, dir *os.File, known func([]string) (map[string]bool, error)) (n int, err error) {
	for ctx.Err() == nil {
		entries, err := dir.ReadDir(sweepAtOnce)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		var old []string
		for _, e := range entries {
			if st, err := e.Info(); err == nil && isID(e.Name()) && time.Since(st.ModTime()) > strayAfter {
				old = append(old, e.Name())
			}
		}
		there, err := known(old)
		if err != nil {
			return n, err
		}
		for _, id := range old {
			if there[id] {
				continue
			}
			if err := d.Remove(ctx, id); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, ctx.Err()
}
