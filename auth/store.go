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
`, `
-- Installations that have logged in and said who they are (XEP-0388 §2.3).
create table client (
	account     integer not null,
	agent       text    not null,           -- the id that the client has given itself
	id          text    not null,           -- the one that people are shown
	software    text    not null,
	device      text    not null,
	first_seen  integer not null,           -- seconds since 1970
	last_seen   integer not null,           -- to about an hour
	password    integer not null,           -- 1: it has shown the password of today
	certificate integer not null,           -- 1: it has shown a certificate
	primary key (account, agent)
) without rowid;
create index client_last_seen on client (last_seen);
create table token (
	account   integer not null,
	agent     text    not null,
	slot      integer not null,             -- 0: in use; 1: given out and not used yet
	mechanism text    not null,             -- it is good for
	seed      blob    not null,             -- the token is derived from it, with a key that is not here
	issued    integer not null,             -- seconds since 1970
	expires   integer not null,
	primary key (account, agent, slot)
) without rowid;
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
	sqlAddKey = `insert into credential (account, hash, salt, iterations, stored_key, server_key)
		values ($1, $2, $3, $4, $5, $6) on conflict (account, hash) do nothing`
	sqlLacking = `select count(*) from (select distinct account from credential where account <> 0) a
		where not exists (select 1 from credential c where c.account = a.account and c.hash = $1)`
	sqlHashes = `select hash from credential where account = $1`
	sqlKey    = `select hash, salt, iterations, stored_key, server_key from credential where account = $1 and hash = $2`
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
		if err := dropTokens(tx, id); err != nil {
			return err
		}
	}
	return tx.Exec(sqlDisable, v, id)
}

func deleteAccount(tx *storage.Tx, id int64) error {
	if err := tx.Exec(sqlDropKeys, id); err != nil {
		return err
	}
	if err := dropTokens(tx, id); err != nil {
		return err
	}
	if err := tx.Exec(sqlDropClients, id); err != nil {
		return err
	}
	return tx.Exec(sqlDelete, id)
}

func loggedIn(tx *storage.Tx, id int64, at time.Time) error {
	return tx.Exec(sqlLogin, at.Unix(), id)
}

// replacePassword is replaceCredentials for an account that is in use: what was given out to
// who knew the old password is worth nothing then, and nobody has shown the new one.
func replacePassword(tx *storage.Tx, id int64, keys []Credential) error {
	if err := dropTokens(tx, id); err != nil {
		return err
	}
	if err := tx.Exec(sqlUnproved, id); err != nil {
		return err
	}
	return replaceCredentials(tx, id, keys)
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

// addCredential keeps the one that is there, if one is, and reports whether none was.
func addCredential(tx *storage.Tx, id int64, c Credential) (added bool, err error) {
	err = tx.Exec(sqlAddKey, id, string(c.Hash), c.Salt, c.Iterations, c.StoredKey, c.ServerKey)
	return tx.Changes() == 1, err
}

// hashesOf returns those that an account has a credential for.
func hashesOf(tx *storage.Tx, id int64) (list []Hash, err error) {
	err = tx.Each(sqlHashes, []any{id}, func(r *storage.Row) error {
		list = append(list, Hash(r.Text(0)))
		return nil
	})
	return list, err
}

// lackingHash counts the accounts that have a password and no credential for a hash.
func lackingHash(tx *storage.Tx, h Hash) (n int64, err error) {
	_, err = tx.One(sqlLacking, []any{string(h)}, &n)
	return n, err
}

// What devices are kept by. A device is a client with an id of its own.
const (
	sqlDropTokens  = `delete from token where account = $1`
	sqlDropClients = `delete from client where account = $1`
	sqlUnproved    = `update client set password = 0 where account = $1`
	sqlClients     = `select agent, id, software, device, first_seen, last_seen, password, certificate,
		exists (select 1 from token t where t.account = c.account and t.agent = c.agent and t.expires > $2)
		from client c where account = $1 order by last_seen desc, id`
	sqlLastSeen = `select last_seen, software, device, password, certificate from client where account = $1 and agent = $2`
	sqlSeen     = `insert into client (account, agent, id, software, device, first_seen, last_seen, password, certificate)
		values ($1, $2, $3, $4, $5, $6, $6, $7, $8)
		on conflict (account, agent) do update set software = excluded.software, device = excluded.device,
		last_seen = excluded.last_seen, password = client.password | excluded.password,
		certificate = client.certificate | excluded.certificate`
	sqlCrowd = `delete from client where account = $1 and agent <> $3 and agent not in
		(select agent from client where account = $1 and agent <> $3 order by last_seen desc, agent limit $2)`
	sqlOrphans = `delete from token where account = $1 and agent not in
		(select agent from client where account = $1)`
	sqlDropClient    = `delete from client where account = $1 and agent = $2`
	sqlDropHisTokens = `delete from token where account = $1 and agent = $2`
	sqlTokens        = `select slot, mechanism, seed, issued, expires from token where account = $1 and agent = $2 order by slot`
	sqlSetToken      = `insert into token (account, agent, slot, mechanism, seed, issued, expires)
		values ($1, $2, 1, $3, $4, $5, $6)
		on conflict (account, agent, slot) do update set mechanism = excluded.mechanism, seed = excluded.seed,
		issued = excluded.issued, expires = excluded.expires`
	sqlDropOld = `delete from token where account = $1 and agent = $2 and slot = 0
		and exists (select 1 from token t where t.account = $1 and t.agent = $2 and t.slot = 1 and t.seed = $3)`
	sqlPromote = `update token set slot = 0 where account = $1 and agent = $2 and slot = 1 and seed = $3`
	sqlStale   = `select account, agent from client c where last_seen < $1 and not exists
		(select 1 from token t where t.account = c.account and t.agent = c.agent and t.expires > $2)
		order by last_seen limit $3`
)

// dropTokens makes all tokens of an account worth nothing.
func dropTokens(tx *storage.Tx, id int64) error { return tx.Exec(sqlDropTokens, id) }

// dropTokensOf is dropTokens for one client.
func dropTokensOf(tx *storage.Tx, id int64, agent string) error {
	return tx.Exec(sqlDropHisTokens, id, agent)
}

// dropClient forgets a client and its tokens.
func dropClient(tx *storage.Tx, id int64, agent string) error {
	if err := dropTokensOf(tx, id, agent); err != nil {
		return err
	}
	return tx.Exec(sqlDropClient, id, agent)
}

func clientsOf(tx *storage.Tx, id int64, now time.Time) (list []Device, err error) {
	err = tx.Each(sqlClients, []any{id, now.Unix()}, func(r *storage.Row) error {
		list = append(list, Device{
			Agent: xmpp.UserAgent{ID: r.Text(0), Software: r.Text(2), Device: r.Text(3)}, ID: r.Text(1),
			FirstSeen: time.Unix(r.Int(4), 0).UTC(), LastSeen: time.Unix(r.Int(5), 0).UTC(),
			Password: r.Bool(6), Certificate: r.Bool(7), Token: r.Bool(8),
		})
		return nil
	})
	return list, err
}

// oneClient returns what is known of a client, with neither its ids nor its tokens.
func oneClient(tx *storage.Tx, id int64, agent string) (d Device, found bool, err error) {
	err = tx.Each(sqlLastSeen, []any{id, agent}, func(r *storage.Row) error {
		found = true
		d = Device{
			Agent: xmpp.UserAgent{ID: agent, Software: r.Text(1), Device: r.Text(2)}, LastSeen: time.Unix(r.Int(0), 0).UTC(),
			Password: r.Bool(3), Certificate: r.Bool(4),
		}
		return nil
	})
	return d, found, err
}

// seen notes that a client has logged in. Of more than most, those that have not come for
// the longest time are forgotten.
func seen(tx *storage.Tx, id int64, d Device, most int) error {
	err := tx.Exec(sqlSeen, id, d.Agent.ID, d.ID, d.Agent.Software, d.Agent.Device, d.LastSeen.Unix(), d.Password, d.Certificate)
	if err != nil {
		return err
	}
	if err := tx.Exec(sqlCrowd, id, most-1, d.Agent.ID); err != nil { // itself stays
		return err
	}
	return tx.Exec(sqlOrphans, id)
}

// staleClients returns some that have not come since before and have no token that is good.
func staleClients(tx *storage.Tx, before, now time.Time, limit int) (list []clientKey, err error) {
	err = tx.Each(sqlStale, []any{before.Unix(), now.Unix(), limit}, func(r *storage.Row) error {
		list = append(list, clientKey{r.Int(0), r.Text(1)})
		return nil
	})
	return list, err
}

// tokensOf returns those of a client: the one in use, and one that it has not used yet.
func tokensOf(tx *storage.Tx, id int64, agent string) (list []storedToken, err error) {
	err = tx.Each(sqlTokens, []any{id, agent}, func(r *storage.Row) error {
		list = append(list, storedToken{
			fresh: r.Int(0) == 1, mechanism: r.Text(1), seed: r.Bytes(2),
			issued: time.Unix(r.Int(3), 0).UTC(), expires: time.Unix(r.Int(4), 0).UTC(),
		})
		return nil
	})
	return list, err
}

// setToken puts a token beside the one in use, instead of another one there.
func setToken(tx *storage.Tx, id int64, agent string, t storedToken) error {
	return tx.Exec(sqlSetToken, id, agent, t.mechanism, t.seed, t.issued.Unix(), t.expires.Unix())
}

// promote makes the unused token with that seed the one in use, in place of the one before,
// and reports whether it was there.
func promote(tx *storage.Tx, id int64, agent string, seed []byte) (bool, error) {
	if err := tx.Exec(sqlDropOld, id, agent, seed); err != nil {
		return false, err
	}
	err := tx.Exec(sqlPromote, id, agent, seed)
	return tx.Changes() == 1, err
}
