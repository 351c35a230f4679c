package auth

import (
	"time"

	"parley/storage"
	"parley/xmpp"
)

// Schema returns the tables of this package. The id of an account is never used again:
// what another feature forgot to remove must not fall to the next owner of a number.
func Schema() storage.Schema {
	return storage.Schema{Name: "auth", Steps: []string{`
create table account (
	id         integer primary key autoincrement,
	host       text    not null,
	local      text    not null,
	created    integer not null,            -- seconds since 1970
	disabled   integer not null default 0,  -- 0 or 1
	last_login integer not null default 0,  -- seconds since 1970, 0: never
	unique (host, local)
);
create table credential (
	account    integer not null,
	hash       text    not null,            -- as in the mechanism's name: SHA-256
	salt       blob    not null,
	iterations integer not null,
	stored_key blob    not null,
	server_key blob    not null,
	primary key (account, hash)
) without rowid;
-- Nobody's keys, read where an account does not exist, so that it costs the same.
insert into credential (account, hash, salt, iterations, stored_key, server_key) values
	(0, 'SHA-1',   zeroblob(16), 0, zeroblob(20), zeroblob(20)),
	(0, 'SHA-256', zeroblob(16), 0, zeroblob(32), zeroblob(32)),
	(0, 'SHA-512', zeroblob(16), 0, zeroblob(64), zeroblob(64));
`}}
}

const (
	sqlInsert = `insert into account (host, local, created) values ($1, $2, $3)
		on conflict (host, local) do nothing returning id`
	sqlGet  = `select id, host, local, created, disabled, last_login from account where host = $1 and local = $2`
	sqlByID = `select id, host, local, created, disabled, last_login from account where id = $1`
	sqlList = `select id, host, local, created, disabled, last_login from account
		where host = $1 and local > $2 order by local limit $3`
	sqlListDisabled = `select id, host, local, created, disabled, last_login from account
		where host = $1 and local > $2 and disabled <> 0 order by local limit $3`
	sqlCountDisabled = `select count(*) from account where host = $1 and disabled <> 0`
	sqlCount         = `select count(*) from account where host = $1`
	sqlDisable       = `update account set disabled = $1 where id = $2`
	sqlDelete        = `delete from account where id = $1`
	sqlLogin         = `update account set last_login = $1 where id = $2 and last_login < $1`
	sqlDropKeys      = `delete from credential where account = $1`
	sqlInsertKeys    = `insert into credential (account, hash, salt, iterations, stored_key, server_key)
		values ($1, $2, $3, $4, $5, $6)`
	sqlKeys   = `select hash, salt, iterations, stored_key, server_key from credential where account = $1`
	sqlShares = `select hash, iterations, count(*) from credential where account <> 0
		group by hash, iterations order by hash, iterations`
	sqlKey = `select hash, salt, iterations, stored_key, server_key from credential where account = $1 and hash = $2`
)

// insertAccount returns 0 where the account exists already.
func insertAccount(tx *storage.Tx, jid xmpp.JID, created time.Time) (id int64, err error) {
	err = tx.Each(sqlInsert, []any{jid.Domain(), jid.Local(), created.Unix()}, func(r *storage.Row) error {
		id = r.Int(0)
		return nil
	})
	return id, err
}

func getAccount(tx *storage.Tx, jid xmpp.JID) (acc Account, found bool, err error) {
	err = tx.Each(sqlGet, []any{jid.Domain(), jid.Local()}, oneAccount(&acc, &found))
	return acc, found, err
}

func accountByID(tx *storage.Tx, id int64) (acc Account, found bool, err error) {
	err = tx.Each(sqlByID, []any{id}, oneAccount(&acc, &found))
	return acc, found, err
}

func oneAccount(acc *Account, found *bool) func(*storage.Row) error {
	return func(r *storage.Row) (err error) {
		*acc, err = readAccount(r)
		*found = err == nil
		return err
	}
}

func readAccount(r *storage.Row) (Account, error) {
	jid, err := xmpp.NewJID(r.Text(2), r.Text(1), "")
	if err != nil {
		return Account{}, err
	}
	acc := Account{ID: r.Int(0), JID: jid, Created: time.Unix(r.Int(3), 0).UTC(), Disabled: r.Bool(4)}
	if at := r.Int(5); at != 0 {
		acc.LastLogin = time.Unix(at, 0).UTC()
	}
	return acc, nil
}

// listAccounts returns up to limit accounts of a host, those after a localpart.
func listAccounts(tx *storage.Tx, host, after string, limit int) (list []Account, err error) {
	return accountsOf(tx, sqlList, host, after, limit)
}

// listDisabled is listAccounts for those that are disabled.
func listDisabled(tx *storage.Tx, host, after string, limit int) (list []Account, err error) {
	return accountsOf(tx, sqlListDisabled, host, after, limit)
}

func accountsOf(tx *storage.Tx, query, host, after string, limit int) (list []Account, err error) {
	err = tx.Each(query, []any{host, after, limit}, func(r *storage.Row) error {
		acc, err := readAccount(r)
		list = append(list, acc)
		return err
	})
	return list, err
}

func countAccounts(tx *storage.Tx, host string) (n int64, err error) {
	_, err = tx.One(sqlCount, []any{host}, &n)
	return n, err
}

func countDisabled(tx *storage.Tx, host string) (n int64, err error) {
	_, err = tx.One(sqlCountDisabled, []any{host}, &n)
	return n, err
}

func disableAccount(tx *storage.Tx, id int64, disabled bool) error {
	v := 0
	if disabled {
		v = 1
	}
	return tx.Exec(sqlDisable, v, id)
}

func deleteAccount(tx *storage.Tx, id int64) error {
	if err := tx.Exec(sqlDropKeys, id); err != nil {
		return err
	}
	return tx.Exec(sqlDelete, id)
}

func loggedIn(tx *storage.Tx, id int64, at time.Time) error {
	return tx.Exec(sqlLogin, at.Unix(), id)
}

// replaceCredentials removes all that proved the old password.
func replaceCredentials(tx *storage.Tx, id int64, keys []Credential) error {
	if err := tx.Exec(sqlDropKeys, id); err != nil {
		return err
	}
	for _, c := range keys {
		err := tx.Exec(sqlInsertKeys, id, string(c.Hash), c.Salt, c.Iterations, c.StoredKey, c.ServerKey)
		if err != nil {
			return err
		}
	}
	return nil
}

// nobody is the account that the keys belong to which no account has.
const nobody = 0

// credentials returns those of an account, or only the one for a hash.
func credentials(tx *storage.Tx, id int64, only Hash) (keys []Credential, err error) {
	query, args := sqlKeys, []any{id}
	if only != "" {
		query, args = sqlKey, []any{id, string(only)}
	}
	err = tx.Each(query, args, func(r *storage.Row) error {
		keys = append(keys, Credential{
			Hash: Hash(r.Text(0)), Salt: r.Bytes(1), Iterations: int(r.Int(2)),
			StoredKey: r.Bytes(3), ServerKey: r.Bytes(4),
		})
		return nil
	})
	return keys, err
}

// iterationShares counts the numbers of iterations in use.
func iterationShares(tx *storage.Tx) (map[Hash][]share, error) {
	used := map[Hash][]share{}
	err := tx.Each(sqlShares, nil, func(r *storage.Row) error {
		h := Hash(r.Text(0))
		used[h] = append(used[h], share{int(r.Int(1)), int(r.Int(2))})
		return nil
	})
	return used, err
}
