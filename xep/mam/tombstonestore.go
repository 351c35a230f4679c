package mam

import "parley/storage"

const (
	sqlBodyOwners = `select one, two, length(stanza) from body where id = $1`
	sqlBury       = `update body set stanza = $2 where id = $1`
	// A message that is not there to be read is not unread.
	sqlFlagGrave      = `update kept set flags = (flags | 16) & ~8 where owner = $1 and id = $2`
	sqlFlagGraveThere = `update exchanged set flags = (flags | 16) & ~8 where owner = $1 and id = $2
		and peer = (select peer from kept where owner = $1 and id = $2)`
)

// bury puts a tombstone in the place of a message, in all archives that have it.
func bury(tx *storage.Tx, id storage.ID, stone []byte) error {
	var owners [2]int64
	var bytes int64
	if _, err := tx.One(sqlBodyOwners, []any{id}, &owners[0], &owners[1], &bytes); err != nil {
		return err
	}
	if err := tx.Exec(sqlBury, id, stone); err != nil {
		return err
	}
	for _, owner := range owners {
		if owner == 0 {
			continue
		}
		if err := tx.Exec(sqlFlagGrave, owner, id); err != nil {
			return err
		}
		if err := tx.Exec(sqlFlagGraveThere, owner, id); err != nil {
			return err
		}
		if err := recount(tx, owner, id); err != nil {
			return err
		}
		if err := lighter(tx, owner, id, bytes-int64(len(stone))); err != nil {
			return err
		}
	}
	if err := unindex(tx, id); err != nil {
		return err
	}
	return index(tx, id, stone, owners[0], owners[1]) // by its name alone
}
