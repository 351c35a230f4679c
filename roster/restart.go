package roster

import (
	"context"
	"errors"

	"parley/router"
	"parley/storage"
)

var errOther = errors.New("the contacts are not those of before the restart")

// save notes which version of the contacts a session knows that is to be there again after a
// restart.
func (f *feature) save(t *router.Turn, a *router.Account, res router.Resource) []byte {
	if !res.Interest && !res.Available() {
		return nil
	}
	l := f.upToDate(t, a, available(a))
	ver, err := f.version(a, l)
	if err != nil {
		f.log.Error("the version of a roster could not be read", "account", a.JID.String(), "error", err)
		return []byte("unknown") // it will not be what it was
	}
	return []byte(ver)
}

// restore finds out whether the contacts have changed while nobody could be told of it, as by
// a removed account or another configuration.
func (f *feature) restore(t *router.Turn, a *router.Account, res router.Resource, data []byte) error {
	now := f.shared.list(a.JID)
	if now.len() > 0 && res.Available() {
		f.shared.attend(a.JID, true)
	}
	f.shared.note(a, now)
	if !res.Interest && !res.Available() {
		return nil
	}
	ver, err := f.version(a, now)
	if err == nil && ver != string(data) {
		err = errOther
	}
	return err
}

func (f *feature) version(a *router.Account, l *sharedList) (string, error) {
	var version int64
	err := f.store.Read(context.Background(), func(tx *storage.Tx) (err error) {
		version, _, err = current(tx, a.ID)
		return err
	})
	return verOf(version, l, a.JID), err
}
