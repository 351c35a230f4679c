package upload

import (
	"context"
	"io"
)

// A Shelf is where the bytes of files are. Ids are those of this package and safe in any name.
// Its methods are called by anyone, but never two at a time that change the same id.
type Shelf interface {
	// Begin makes the shelf ready, and takes off it what a crash has left half done.
	Begin() error
	// Put reads size bytes and puts them under id. It returns when they are there for good. After
	// an error Remove is called: it may be that they are there all the same.
	Put(ctx context.Context, id string, size int64, from io.Reader) error
	// Open reads what is under id; the error is fs.ErrNotExist where there is nothing.
	Open(ctx context.Context, id string, size int64) (io.ReadSeekCloser, error)
	// Remove takes off what is under id, if there is anything.
	Remove(ctx context.Context, id string) error
	// Strays takes off what lies there for long and is not known. Where a shelf cannot tell what
	// is on it, it does nothing.
	Strays(ctx context.Context, known func(ids []string) (map[string]bool, error)) (int, error)
}

// copyTo reads exactly size bytes, a little at a time.
func copyTo(w io.Writer, from io.Reader, size int64) error {
	buf := make([]byte, copyBytes)
	for size > 0 {
		n, err := from.Read(buf[:min(size, copyBytes)])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			size -= int64(n)
		}
		switch {
		case size == 0:
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}
