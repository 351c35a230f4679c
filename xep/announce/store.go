package announce

import (
	"time"

	"parley/storage"
)

// schema is the message of the day of each host, which version of it each account has
// seen, and the announcements to all that are not through yet. Versions are ids, so that
// one that was taken back is never met again.
var schema = storage.Schema{Name: "announce", Steps: []string{`
create table motd (
	host text primary key,
	version integer not null,
	subject text not null,
	body text not null
);
create table motd_seen (
	account integer primary key,
	version integer not null
);
create table announcement (
	id integer primary key,
	host text not null,
	subject text not null,
	body text not null,
	made_by text not null,
	after text not null,            -- the localpart of the last account that has it
	reached integer not null
);
`}}

// motds returns the messages of the day of all hosts.
func motds(tx *storage.Tx) (map[string]*motd, error) {
	all := map[string]*motd{}
	err := tx.Each(`select host, version, subject, body from motd`, nil, func(r *storage.Row) error {
		all[r.Text(0)] = &motd{r.Int(1), Text{r.Text(2), r.Text(3)}}
		return nil
	})
	return all, err
}

func setMOTD(tx *storage.Tx, host string, m *motd) error {
	m.version = int64(tx.NextID())
	return tx.Exec(`insert into motd (host, version, subject, body) values ($1, $2, $3, $4)
		on conflict (host) do update set version = excluded.version, subject = excluded.subject, body = excluded.body`,
		host, m.version, m.text.Subject, m.text.Body)
}

func removeMOTD(tx *storage.Tx, host string) error {
	return tx.Exec(`delete from motd where host = $1`, host)
}

// seen returns the version that an account has seen, 0 for none.
func seen(tx *storage.Tx, account int64) (version int64, err error) {
	_, err = tx.One(`select version from motd_seen where account = $1`, []any{account}, &version)
	return version, err
}

func setSeen(tx *storage.Tx, account, version int64) error {
	return tx.Exec(`insert into motd_seen (account, version) values ($1, $2)
		on conflict (account) do update set version = excluded.version where version < excluded.version`, account, version)
}

func forget(tx *storage.Tx, account int64) error {
	return tx.Exec(`delete from motd_seen where account = $1`, account)
}

// addRun writes an announcement to all down; false where too many are on their way.
func addRun(tx *storage.Tx, host string, text Text, by string) (ok bool, err error) {
	var n int64
	if _, err := tx.One(`select count(*) from announcement`, nil, &n); err != nil || n >= maxRuns {
		return false, err
	}
	return true, tx.Exec(`insert into announcement (id, host, subject, body, made_by, after, reached)
		values ($1, $2, $3, $4, $5, '', 0)`, int64(tx.NextID()), host, text.Subject, text.Body, by)
}

// firstRun returns the oldest announcement that is not through.
func firstRun(tx *storage.Tx) (r run, found bool, err error) {
	found, err = tx.One(`select id, host, subject, body, made_by, after, reached from announcement order by id limit 1`, nil,
		&r.id, &r.host, &r.text.Subject, &r.text.Body, &r.by, &r.after, &r.reached)
	return r, found, err
}

func advance(tx *storage.Tx, r run) error {
	return tx.Exec(`update announcement set after = $1, reached = $2 where id = $3`, r.after, r.reached, r.id)
}

func endRun(tx *storage.Tx, id int64) error {
	return tx.Exec(`delete from announcement where id = $1`, id)
}

// began returns when an announcement was made.
func (r run) began() time.Time { return storage.ID(r.id).Time() }
