package lastactivity

import (
	"time"

	"parley/storage"
)

var schema = storage.Schema{Name: "lastactivity", Steps: []string{`
create table last_activity (
	owner integer primary key,
	at integer not null,
	status text not null
);
`}}

// note keeps when a user left.
func note(tx *storage.Tx, owner int64, at time.Time, status string) error {
	return tx.Exec(`insert into last_activity (owner, at, status) values ($1, $2, $3)
		on conflict (owner) do update set at = excluded.at, status = excluded.status`, owner, at, status)
}

// last returns when a user left, and with what words; found is false where that never was.
func last(tx *storage.Tx, owner int64) (at time.Time, status string, found bool, err error) {
	found, err = tx.One(`select at, status from last_activity where owner = $1`, []any{owner}, &at, &status)
	return at, status, found, err
}

// forget removes what is known of a user.
func forget(tx *storage.Tx, owner int64) error {
	return tx.Exec(`delete from last_activity where owner = $1`, owner)
}
