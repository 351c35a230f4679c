package upload

import (
	"time"

	"parley/storage"
)

// A row stands for a file from the moment that its slot is given out until nothing is left of
// it. Whatever lies on the shelf has one: so nothing is forgotten there, whenever the server
// ends.
var schema = storage.Schema{Name: "upload", Steps: []string{`
create table upload_file (
	id text primary key,
	owner text not null,
	host text not null,
	name text not null,
	type text not null,
	size integer not null,
	purpose integer not null,
	bucket integer not null,
	state integer not null,
	created integer not null,
	expires integer not null,
	before integer not null
) without rowid;
create index upload_file_owner on upload_file (owner, created, state, bucket, size);
create index upload_file_expires on upload_file (state, expires);
`}}

// What has become of a file.
const (
	slot   = iota // it is waited for; expires is until when
	stored        // it is there; expires is until when
	gone          // it is there for nobody, and is to be taken off the shelf
	spent         // nothing is left of it; it counts as sent until expires
)

// never is when files expire that are kept for ever.
const never = 1 << 62

// A file is a row of upload_file.
type file struct {
	id, owner, host, name, typ string
	size                       int64
	purpose                    purpose
	state                      int
	created, expires           int64 // seconds since 1970
	before                     int64 // when it is to be gone at the latest (XEP-0363 §5.3); 0: nobody said
}

func (f *file) read(r *storage.Row) error {
	var p int
	err := r.Scan(&f.id, &f.owner, &f.host, &f.name, &f.typ, &f.size, &p, &f.state, &f.created, &f.expires, &f.before)
	f.purpose = purpose(p)
	return err
}

const columns = `id, owner, host, name, type, size, purpose, state, created, expires, before`

// fileOf reads a file; found is false where there is none.
func fileOf(tx *storage.Tx, id string) (f file, found bool, err error) {
	err = tx.Each(`select `+columns+` from upload_file where id = $1`, []any{id}, func(r *storage.Row) error {
		found = true
		return f.read(r)
	})
	return f, found, err
}

func addFile(tx *storage.Tx, f file) error {
	return tx.Exec(`insert into upload_file (id, owner, host, name, type, size, purpose, bucket, state, created, expires, before) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		f.id, f.owner, f.host, f.name, f.typ, f.size, int(f.purpose), int(f.purpose.bucket()), f.state, f.created, f.expires, f.before)
}

// keepFile says that the file of a slot is there; false where there is no such slot any more.
func keepFile(tx *storage.Tx, f file) (bool, error) {
	err := tx.Exec(`update upload_file set state = $1, type = $2, created = $3, expires = $4 where id = $5 and state = $6`,
		stored, f.typ, f.created, f.expires, f.id, slot)
	return err == nil && tx.Changes() == 1, err
}

// dropSlot says that nothing will come for a slot, and that nothing is on the shelf for it.
func dropSlot(tx *storage.Tx, id string) error {
	return tx.Exec(`delete from upload_file where id = $1 and state = $2`, id, slot)
}

// spendSlot says the same, and that what was announced counts as sent for a day from now: whoever
// begins files and never ends them has a quota too.
func spendSlot(tx *storage.Tx, id string, now int64) error {
	return tx.Exec(`update upload_file set state = $1, name = '', type = '', created = $2, expires = $3 where id = $4 and state = $5`,
		spent, now, now+int64(day/time.Second), id, slot)
}

// leaveSlot says that nothing will come for a slot, and that something may be on the shelf for it.
func leaveSlot(tx *storage.Tx, id string) error {
	return tx.Exec(`update upload_file set state = $1 where id = $2 and state = $3`, gone, id, slot)
}

// usage is what a user has sent and has.
type usage struct {
	slots, files int
	kept         int64 // bytes of a bucket that are there or waited for
	today        int64 // bytes sent, or to be sent, since some time
}

func usageOf(tx *storage.Tx, owner string, in purpose, since int64) (u usage, err error) {
	_, err = tx.One(`select count(*), coalesce(sum(state = $1), 0),
			coalesce(sum(case when state in ($1, $2) and bucket = $3 then size else 0 end), 0),
			coalesce(sum(case when created > $4 then size else 0 end), 0)
		from upload_file where owner = $5`,
		[]any{slot, stored, int(in), since, owner}, &u.files, &u.slots, &u.kept, &u.today)
	return u, err
}

// roomAt returns when as many of the bytes that were sent since some time will count no more as
// are wanted; 0 where that never comes.
func roomAt(tx *storage.Tx, owner string, since, wanted int64) (at int64, err error) {
	var sum int64
	err = tx.Each(`select created, size from upload_file where owner = $1 and created > $2 order by created`, []any{owner, since}, func(r *storage.Row) error {
		if sum < wanted {
			sum += r.Int(1)
			at = r.Int(0)
		}
		return nil
	})
	if sum < wanted {
		return 0, err
	}
	return at, err
}

// firstSlot returns when the first slot of a user ends.
func firstSlot(tx *storage.Tx, owner string) (at int64, err error) {
	_, err = tx.One(`select coalesce(min(expires), 0) from upload_file where owner = $1 and state = $2`, []any{owner, slot}, &at)
	return at, err
}

// filesOf reads files that are there, the newest first; owner "" is everybody.
func filesOf(tx *storage.Tx, owner string, now int64, most int) (list []file, err error) {
	q, args := `select `+columns+` from upload_file where state = $1 and expires > $2 order by created desc, id limit $3`, []any{stored, now, most}
	if owner != "" {
		q, args = `select `+columns+` from upload_file where owner = $4 and state = $1 and expires > $2 order by created desc, id limit $3`, append(args, owner)
	}
	err = tx.Each(q, args, func(r *storage.Row) error {
		var f file
		defer func() { list = append(list, f) }()
		return f.read(r)
	})
	return list, err
}

// removeFile says that a file is for nobody any more; false where it is not there. owner "" is
// anybody.
func removeFile(tx *storage.Tx, id, owner string) (bool, error) {
	err := tx.Exec(`update upload_file set state = $1 where id = $2 and state = $3 and ($4 = '' or owner = $4)`, gone, id, stored, owner)
	return err == nil && tx.Changes() == 1, err
}

// removeAll says that of all files of a user.
func removeAll(tx *storage.Tx, owner string) (int64, error) {
	err := tx.Exec(`update upload_file set state = $1 where owner = $2 and state = $3`, gone, owner, stored)
	return tx.Changes(), err
}

// forget is removeAll for a user who is one no more: nothing counts as sent any more either. What
// is on its way finds that its slot is gone.
func forget(tx *storage.Tx, owner string) error {
	if err := tx.Exec(`delete from upload_file where owner = $1 and state = $2`, owner, spent); err != nil {
		return err
	}
	return tx.Exec(`update upload_file set state = $1, owner = '', name = '' where owner = $2`, gone, owner)
}

// expire marks up to so many files whose time is over, and returns how many.
func expire(tx *storage.Tx, now int64, most int) (int64, error) {
	err := tx.Exec(`update upload_file set state = $1 where id in (select id from upload_file where state = $2 and expires <= $3 limit $4)`,
		gone, stored, now, most)
	n := tx.Changes()
	if err == nil {
		err = tx.Exec(`delete from upload_file where id in (select id from upload_file where state = $1 and expires <= $2 limit $3)`, spent, now, most)
	}
	return max(n, tx.Changes()), err
}

// leftovers are files to be taken off the shelf, and slots that nothing has come for.
func leftovers(tx *storage.Tx, now int64, most int) (list []file, err error) {
	err = tx.Each(`select `+columns+` from upload_file where state = $1 or state = $2 and expires <= $3 limit $4`, []any{gone, slot, now, most}, func(r *storage.Row) error {
		var f file
		defer func() { list = append(list, f) }()
		return f.read(r)
	})
	return list, err
}

// cleared says that nothing of a file is on the shelf. What was sent within the last day counts
// until the day is over.
func cleared(tx *storage.Tx, f file, now int64) error {
	until := f.created + int64(day/time.Second)
	if f.state == slot || f.owner == "" || until <= now {
		return tx.Exec(`delete from upload_file where id = $1 and state = $2`, f.id, f.state)
	}
	return tx.Exec(`update upload_file set state = $1, name = '', type = '', expires = $2 where id = $3 and state = $4`, spent, until, f.id, gone)
}

// knownOf returns which of these ids have a row.
func knownOf(tx *storage.Tx, ids []string) (known map[string]bool, err error) {
	known = map[string]bool{}
	for _, id := range ids {
		found, err := tx.One(`select 1 from upload_file where id = $1`, []any{id})
		if err != nil {
			return nil, err
		}
		known[id] = found
	}
	return known, nil
}

// ownerUsage is what one user has.
func ownersOf(tx *storage.Tx, now int64, most int) (list []Usage, err error) {
	err = tx.Each(`select owner, count(*), sum(size) from upload_file where state = $1 and expires > $2 group by owner order by sum(size) desc, owner limit $3`,
		[]any{stored, now, most}, func(r *storage.Row) error {
			list = append(list, Usage{Owner: r.Text(0), Files: r.Int(1), Bytes: r.Int(2)})
			return nil
		})
	return list, err
}
