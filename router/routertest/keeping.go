package routertest

import "parley/storage"

// Keeping is a router.Keeping that writes, and does nothing else.
type Keeping func(tx *storage.Tx, id storage.ID) error

// Write implements router.Keeping.
func (k Keeping) Write(tx *storage.Tx, id storage.ID) error { return k(tx, id) }

// Written implements router.Keeping.
func (k Keeping) Written(storage.ID, error) {}

// Undo implements router.Keeping.
func (k Keeping) Undo(*storage.Tx, storage.ID) error { return nil }
